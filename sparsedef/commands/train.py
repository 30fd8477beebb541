"""``sparsedef train``: what can be trained, one entry each, and mistakes in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Protocol

import torch

from sparsedef.commands.train_carso import CARSOTraining
from sparsedef.commands.train_classifier import ClassifierTraining
from sparsedef.commands.train_clip import ClipTraining
from sparsedef.commands.train_comdefend import ComDefendTraining
from sparsedef.commands.train_laat import LAATTraining
from sparsedef.streams.ranks import Processes, join_ranks


class Kind(Protocol):
    """One thing that can be trained."""

    @property
    def about(self) -> str:
        """What it trains, after "trains"."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds its options to ``parser``, those of ``train_options`` first."""

    def run(self, arguments: argparse.Namespace, ranks: Processes) -> str:
        """Trains on all ranks, or goes on; returns what to say in the end."""


KINDS: Mapping[str, Kind] = {
    "standard": ClassifierTraining("standard", "a classifier on clean images"),
    "at": ClassifierTraining("pgd_at", "the same as pgd-at"),
    "fgsm-at": ClassifierTraining("fgsm_at", "a classifier on images attacked by one step"),
    "pgd-at": ClassifierTraining("pgd_at", "a classifier on images attacked by ten steps"),
    "trades": ClassifierTraining("trades", "a classifier whose answer an attack shall not move"),
    "comdefend": ComDefendTraining(),
    "clip": ClipTraining(),
    "laat": LAATTraining(),
    "carso": CARSOTraining(),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds a verb for each kind of training, with its options, to ``parser``."""
    parser.description = (
        "Trains a network and writes it to one file, with its settings and figures. A stopped "
        "run goes on where it was and ends with the same weights; torchrun -m sparsedef train ... "
        "shares each minibatch over processes and machines."
    )
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    for name, kind in KINDS.items():
        one = kinds.add_parser(name, help=kind.about, description=f"Trains {kind.about}.")
        kind.add_arguments(one)


def run(arguments: argparse.Namespace) -> int:
    """Trains; returns the exit status: 0, 1 after a mistake or failure, 130 when interrupted."""
    who = f"sparsedef train {arguments.what}"
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    try:
        with join_ranks() as ranks:
            if ranks.n_ranks > 1:
                who += f" (rank {ranks.rank})"
            told = KINDS[arguments.what].run(arguments, ranks)
            if ranks.rank == 0 and not arguments.quiet:
                print(told)
    except KeyboardInterrupt:
        print(
            f"\n{who}: interrupted; what is finished is kept beside {arguments.out}, and the same "
            "command goes on",
            file=sys.stderr,
        )
        return 130
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"{who}: {error}", file=sys.stderr)
        return 1
    return 0
