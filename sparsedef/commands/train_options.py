"""What all trainings by command share: options, data, and the file that comes of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from sparsedef.commands.running import whole_number
from sparsedef.data import DATASETS, Dataset, load_dataset
from sparsedef.learning.checkpoint import read, write
from sparsedef.models.checkpoint import load_network, save_network
from sparsedef.streams.coding import to_device
from sparsedef.streams.ranks import Processes, local_rank
from sparsedef.whole_file import remove_leftovers


def add_shared_arguments(parser: argparse.ArgumentParser, *, epochs: int, batch_size: int) -> None:
    """Adds the options of every training, with these defaults."""
    parser.add_argument(
        "--dataset", choices=list(DATASETS), default="digits", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="where a data set is that comes not by itself"
    )
    parser.add_argument("--size", type=whole_number, metavar="PIXELS", help="side of the images")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE",
        help="the trained network; FILE.checkpoint is beside it until it is done",
    )  # fmt: skip
    parser.add_argument(
        "--epochs", type=whole_number, default=epochs, help="(default: %(default)s)"
    )
    parser.add_argument(
        "--batch-size", type=whole_number, default=batch_size, metavar="B",
        help="images of a minibatch, of all ranks together (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=0, help="of everything random (default: %(default)s)"
    )
    parser.add_argument(
        "--checkpoint-steps", type=whole_number, metavar="N",
        help="keep the state after so many minibatches too, not only after each epoch",
    )  # fmt: skip
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=whole_number, help="of torch (default: torch's choice)")
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")


def radius(text: str) -> float:
    """Reads a radius in pixel units of [0, 1]: ``0.03`` or ``8/255``."""
    try:
        value = float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        value = -1.0
    if not 0 <= value <= 1:
        hint = f", such as {text}/255" if value > 1 else ", such as 8/255"
        raise argparse.ArgumentTypeError(f"must be from 0 to 1{hint}, got {text}")
    return value


Data = TypeVar("Data")


@dataclass(frozen=True)
class TrainJob(Generic[Data]):
    """What one training by command has to know.

    Args:
        out: File of the trained network.
        plan: All that the network depends on, as plain values; it is written into ``out``.
        dataset: The images.
        device: Of this rank.
        ranks: Who shares the work.
    """

    out: Path
    plan: dict[str, Any]
    dataset: Data
    device: torch.device
    ranks: Processes

    @staticmethod
    def open(arguments: argparse.Namespace, ranks: Processes, **plan: Any) -> TrainJob[Dataset]:
        """Loads the data and checks where the result shall be.

        Raises:
            ValueError: A setting is wrong.
        """

        def load() -> TrainJob[Dataset]:
            if not arguments.out.parent.is_dir():
                raise ValueError(f"--out must be in a folder that is there, got {arguments.out}")
            dataset = load_dataset(
                arguments.dataset, root=arguments.root, size=arguments.size, seed=arguments.seed
            )
            whole = {
                "dataset": dataset.name,
                "size": list(dataset.train.images.shape[-2:]),
                "epochs": arguments.epochs,
                "batch_size": arguments.batch_size,
                "seed": arguments.seed,
                **plan,
            }
            device = to_device(arguments.device, local_rank())
            return TrainJob(arguments.out, whole, dataset, device, ranks)

        return ranks.attempt(load)

    @property
    def checkpoint(self) -> Path:
        """Where a stopped run goes on; gone when the network is done."""
        return self.out.with_name(self.out.name + ".checkpoint")

    @property
    def prepared(self) -> Path:
        """What was computed before the training; gone when the network is done."""
        return self.out.with_name(self.out.name + ".prepared")

    def finished(self) -> dict[str, Any] | None:
        """Reads what is told about the network, if this very training has written it before.

        Raises:
            ValueError: The file there came from another training, or is something else.
        """
        found = self.ranks.attempt(lambda: self._look() if self.ranks.rank == 0 else None)
        shared = self.ranks.share(b"" if found is None else json.dumps(found).encode())
        return json.loads(shared) if shared else None

    def _look(self) -> dict[str, Any] | None:
        if not self.out.exists():
            return None
        way_out = f"Give another --out, or the settings of before, or delete {self.out.name}"
        try:
            about = load_network(self.out).about
        except ValueError as error:
            raise ValueError(f"{error}. {way_out}") from error
        before = about.get("training", {})
        changes = [
            f"{name} was {before.get(name)}, is {self.plan.get(name)}"
            for name in sorted(before.keys() | self.plan.keys())
            if before.get(name) != self.plan.get(name)
        ]
        if changes:
            raise ValueError(f"{self.out} was trained otherwise: {'; '.join(changes)}. {way_out}")
        return about

    def once(self, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Computes tensors before a training, or reads those that a stopped run has kept."""
        plan = json.dumps(self.plan, sort_keys=True)
        if self.prepared.exists():
            kept = read(self.prepared)
            if kept["plan"] == plan:
                return dict(kept["tensors"])
        tensors = compute()
        if self.ranks.rank == 0:
            write(self.prepared, {"plan": plan, "tensors": tensors})
        return tensors

    def write(
        self, name: str, settings: dict[str, Any], model: nn.Module, about: dict[str, Any]
    ) -> dict[str, Any]:
        """Writes the network; then what only an unfinished training needs goes.

        Args:
            name: In ``models.checkpoint.NETWORKS``.
            settings: What the builder was called with.
            model: The network.
            about: Figures and more; the plan is added.

        Returns:
            All that is told about the network.
        """
        whole = {"training": self.plan, **about}

        def do() -> None:
            if self.ranks.rank > 0:
                return
            save_network(self.out, name, settings, model, about=whole)
            for path in (self.out, self.checkpoint, self.prepared):
                remove_leftovers(path.parent, path.name)
            self.checkpoint.unlink(missing_ok=True)
            self.prepared.unlink(missing_ok=True)

        self.ranks.attempt(do)
        return whole
