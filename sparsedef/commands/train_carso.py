"""``sparsedef train carso``: the purifier of CARSO, for an adversarially trained classifier."""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sparsedef.commands.running import whole_number
from sparsedef.commands.train_options import TrainJob, add_shared_arguments
from sparsedef.data import Dataset
from sparsedef.defenses.carso import (
    PRESETS,
    FixedCARSO,
    Sizes,
    make_purifier,
    purifier_settings,
    run_training,
)
from sparsedef.models import load_model
from sparsedef.models.carso import CARSOPurifier
from sparsedef.models.taps import tapped_layers
from sparsedef.streams.ranks import Processes
from sparsedef.training import Tensors, accuracy
from sparsedef.training.state import digest

AUTOCAST = {"none": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
OVERRIDES = ("epochs", "batch_size", "fraction", "attack_steps", "lr", "width", "condition")


class CARSOTraining:
    """Trains the purifier of ``defenses.CARSO`` by the published objective and schedule."""

    about = "CARSO's purifier, which draws clean images from a robust classifier's features"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds the options."""
        add_shared_arguments(parser, epochs=1, batch_size=1)
        parser.set_defaults(epochs=None, batch_size=None)
        parser.epilog = "Numbers without a default of their own are those of --preset."
        parser.add_argument(
            "--base", required=True, metavar="SPEC",
            help="the classifier: FILE.pt of sparsedef train at, or any --model of evaluate",
        )  # fmt: skip
        parser.add_argument("--weights", type=Path, metavar="FILE", help="of a --base by its name")
        parser.add_argument(
            "--preset", choices=list(PRESETS), default="small",
            help="sizes and schedule; as published but for small (default: %(default)s)",
        )  # fmt: skip
        parser.add_argument(
            "--taps", nargs="+", metavar="LAYER",
            help="layers that the purifier reads (default: the blocks' convolutions, or all)",
        )  # fmt: skip
        parser.add_argument(
            "--nominal-eps", action="store_true",
            help="attack by 4/255 and 8/255, as the paper says; its code multiplies both by "
            "3 / sum(std), as is done here by default",
        )  # fmt: skip
        parser.add_argument("--fraction", type=float, help="of the images that are attacked")
        parser.add_argument("--attack-steps", type=whole_number, metavar="N", help="of PGD")
        parser.add_argument("--lr", type=float, help="peak (default: 1e-4 x images on one rank)")
        parser.add_argument("--width", type=whole_number, help="channels the decoder begins with")
        parser.add_argument("--condition", type=whole_number, help="width of the condition")
        parser.add_argument(
            "--autocast", choices=list(AUTOCAST), default="none", help="(default: %(default)s)"
        )

    def run(self, arguments: argparse.Namespace, ranks: Processes) -> str:
        """Trains on all ranks, or goes on; returns what to say in the end."""
        sizes = sizes_of(arguments)
        arguments.epochs, arguments.batch_size = sizes.epochs, sizes.batch_size
        plan = {
            "base": arguments.base, "base_digest": _file_digest(arguments),
            "sizes": repr(sizes), "taps": arguments.taps, "nominal_eps": arguments.nominal_eps,
            "autocast": arguments.autocast,
        }  # fmt: skip
        job = TrainJob.open(arguments, ranks, objective="carso", **plan)
        about = job.finished()
        if about is None:
            classifier = ranks.attempt(lambda: load_base(arguments, job))
            classifier.to(job.device).requires_grad_(False)
            about = _train(arguments, job, classifier, sizes)
        return _summary(job, about)


def sizes_of(arguments: argparse.Namespace) -> Sizes:
    """The preset's sizes, and what the options change of them."""
    given = {name: getattr(arguments, name) for name in OVERRIDES}
    changed = {name: value for name, value in given.items() if value is not None}
    return replace(PRESETS[arguments.preset], **changed)


def load_base(arguments: argparse.Namespace, job: TrainJob[Dataset]) -> nn.Module:
    """Loads the classifier, frozen."""
    return load_model(
        arguments.base, n_classes=len(job.dataset.classes), size=job.plan["size"][-1],
        weights=arguments.weights,
    )  # fmt: skip


def _file_digest(arguments: argparse.Namespace) -> str:
    """Of the classifier's file, so that a network trained for other weights is not taken."""
    hashed = hashlib.sha256()
    for path in (Path(arguments.base), arguments.weights):
        if path is not None and path.is_file():
            hashed.update(path.read_bytes())
    return hashed.hexdigest()[:16]


def _train(
    arguments: argparse.Namespace, job: TrainJob[Dataset], classifier: nn.Module, sizes: Sizes
) -> dict[str, Any]:
    data = job.dataset
    taps = tapped_layers(classifier) if arguments.taps is None else tuple(arguments.taps)
    settings = job.ranks.attempt(
        lambda: purifier_settings(classifier, data.train.images, sizes, taps=taps)
    )
    purifier = make_purifier(settings, seed=arguments.seed).to(job.device)
    trained = run_training(
        purifier, classifier, data.train.images, data.train.labels, sizes, taps=taps,
        nominal=arguments.nominal_eps, autocast=AUTOCAST[arguments.autocast],
        seed=arguments.seed, checkpoint=job.checkpoint,
        checkpoint_steps=arguments.checkpoint_steps, ranks=job.ranks, is_silent=arguments.quiet,
    )  # fmt: skip
    told = {
        "taps": list(taps),
        "classifier": digest(classifier.state_dict().values()),
        "figures": _measure(classifier, purifier, taps, job, arguments.seed),
        "n_validation": len(data.validation),
        **asdict(trained),
    }
    return job.write("carso_purifier", settings, purifier, told)


def _measure(
    classifier: nn.Module,
    purifier: CARSOPurifier,
    taps: tuple[str, ...],
    job: TrainJob[Dataset],
    seed: int,
) -> dict[str, float]:
    """Clean accuracies on the validation images; attacks are left to reproduce."""
    part = job.dataset.validation
    source = Tensors(part.images, part.labels)
    defense = FixedCARSO(classifier, purifier, taps=taps, seed=seed)
    return {"base_clean": accuracy(classifier, source), "clean": accuracy(defense, source)}


def _summary(job: TrainJob[Dataset], about: dict[str, Any]) -> str:
    figures = about["figures"]
    return (
        f"{figures['clean']:.1%} of {about['n_validation']} clean validation images by 8 samples "
        f"of a fixed seed, {figures['base_clean']:.1%} by the classifier alone (how robust it is, "
        f"sparsedef reproduce carso says)\n{job.out} has the network, settings and losses"
    )
