"""One learning as a walk over minibatches: what it has learned, and where it may go on."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsedef.learning import OnlineLearner
from sparsedef.learning.checkpoint import write
from sparsedef.streams.plan import Plan, check_same, made_by, read_json, write_json
from sparsedef.streams.progress import show_progress
from sparsedef.streams.ranks import Processes
from sparsedef.streams.row_order import RowOrder, read_ranges
from sparsedef.streams.sources import Signals
from sparsedef.streams.tensor_file import write_tensors
from sparsedef.whole_file import remove_leftovers, whole_file


@dataclass(frozen=True)
class LearnJob:
    """What one rank knows of a learning.

    Attributes:
        out: File of the dictionary; two more files beside it have names that begin like it.
        plan: All that the dictionary depends on.
        signals: The inputs.
        order: Of their rows.
        learner: Learns.
        n_steps: Minibatches of all epochs.
        dtype: Of the work.
        device: Where it is done.
        unit_signals: Scale each signal to norm 1.
    """

    out: Path
    plan: Plan
    signals: Signals
    order: RowOrder
    learner: OnlineLearner
    n_steps: int
    dtype: torch.dtype
    device: torch.device
    unit_signals: bool

    @property
    def about(self) -> Path:
        """Plan, objective and software, as JSON; it is there when the dictionary is done."""
        return self.out.with_name(self.out.name + ".json")

    @property
    def checkpoint(self) -> Path:
        """Where a stopped run goes on; gone when the dictionary is done."""
        return self.out.with_name(self.out.name + ".checkpoint")

    def check_ranks(self, ranks: Processes) -> None:
        """Demands that all ranks have the plan of rank 0.

        Raises:
            ValueError: This one has not.
        """
        first = json.loads(ranks.share(json.dumps(self.plan).encode()))
        way_out = "All ranks must read the same files with the same settings"
        check_same(self.plan, first, "rank 0's work", way_out)

    def find(self) -> tuple[bool, bytes]:
        """Looks at what is there: whether all is done, and the checkpoint's bytes, if there is one.

        Raises:
            ValueError: The files were begun otherwise, or are not ours.
        """
        way_out = f"Give another --out, or the settings of before, or delete {self.out.name}*"
        done = read_json(self.about, way_out)
        if done is not None:
            check_same(self.plan, done["plan"], self.about, way_out)
            if self.out.exists():
                return True, b""
        if not self.checkpoint.exists():
            if self.out.exists() and done is None:
                raise ValueError(
                    f"{self.out} is there, and nothing tells how it was made. {way_out}"
                )
            return False, b""
        content = self.checkpoint.read_bytes()
        check_same(self.plan, _load(content)["plan"], self.checkpoint, way_out)
        return False, content

    def read(self, step: int, ranks: Processes) -> Tensor:
        """This rank's rows of a minibatch, those with NaN or infinity left out."""
        ranges = self.order.ranges(step, ranks.rank, ranks.n_ranks)
        x = read_ranges(self.signals, ranges, self.dtype).to(self.device)
        x = x[x.isfinite().all(dim=1)]
        return normalize(x, dim=1) if self.unit_signals else x

    def run(self, content: bytes, every: float, ranks: Processes, *, is_silent: bool) -> None:
        """Learns from where a checkpoint (or nothing, ``b""``) is, to the end.

        Args:
            content: The checkpoint's bytes.
            every: Seconds between checkpoints; the first minibatch makes one too.
            ranks: All of them call this; rank 0 writes.
            is_silent: Show no bar.
        """
        first = 0
        if content:
            state = _load(content)
            first = state["step"]
            self.learner.load_state_dict(_to_device(state["learner"], self.device))
        written, n_epochs = -float("inf"), self.n_steps // self.order.n_batches
        is_silent = is_silent or ranks.rank > 0
        total, n_seen = n_epochs * len(self.signals), self.learner.n_seen
        with show_progress(total, n_seen, None, is_silent=is_silent) as bar:
            for step in range(first, self.n_steps):
                self.learner.partial_fit(self.read(step, ranks), ranks=ranks)
                bar.update(self.learner.n_seen - n_seen)
                n_seen = self.learner.n_seen
                for _, objective in self.learner.objective[-1:]:
                    bar.set_postfix(objective=f"{objective:.4g}", refresh=False)
                is_due = time.monotonic() - written >= every
                if ranks.rank == 0 and is_due and step + 1 < self.n_steps:
                    self._write_checkpoint(step + 1)
                    written = time.monotonic()

    def _write_checkpoint(self, step: int) -> None:
        state = self.learner.state_dict()
        write(self.checkpoint, {"plan": json.dumps(self.plan), "step": step, "learner": state})

    def finish(self) -> None:
        """Writes the dictionary, then what tells about it; the checkpoint goes.

        Raises:
            ValueError: There was nothing to learn from.
        """
        n_seen, n_steps = self.learner.n_seen, self.n_steps
        if n_seen == 0:
            raise ValueError("there was nothing to learn from: all signals hold NaN or infinity")
        atoms = self.learner.dictionary
        array = atoms.cpu().numpy()
        if self.out.suffix == ".npy":
            with whole_file(self.out) as draft, draft.open("wb") as file:
                np.save(file, array)
        else:
            write_tensors(self.out, {"dictionary": [array]}, {})
        about: dict[str, Any] = {
            "plan": self.plan,
            "inputs": [source.describe() for source in self.signals.sources],
            "n_seen": n_seen,
            "n_left_out": len(self.signals) * n_steps // self.order.n_batches - n_seen,
            "objective": [list(each) for each in self.learner.objective],
            "made_by": made_by(self.learner.encode(torch.zeros_like(atoms[:1])).backend),
        }
        write_json(self.about, about)
        self.checkpoint.unlink(missing_ok=True)
        for path in (self.out, self.about, self.checkpoint):
            remove_leftovers(path.parent, path.name)


def _load(content: bytes) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    return {**state, "plan": json.loads(state["plan"])}


def _to_device(state: dict[str, Any], device: torch.device) -> dict[str, Any]:
    return {
        name: value.to(device) if isinstance(value, Tensor) else value
        for name, value in state.items()
    }
