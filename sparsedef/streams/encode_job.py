"""One encoding as a set of shards: what is planned, what is missing, what came out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sparsedef.backends.base import Status
from sparsedef.streams.codes import MANIFEST, read_about, to_rows, write_shard
from sparsedef.streams.coding import Coder, Coding
from sparsedef.streams.plan import Plan, check_same, digest, made_by, read_json, write_json
from sparsedef.streams.progress import show_progress
from sparsedef.streams.ranks import Processes
from sparsedef.streams.sources import Signals
from sparsedef.whole_file import remove_leftovers

PLAN = "plan.json"
SHARD_ROWS, CHUNK_ROWS = 65536, 8192


@dataclass(frozen=True)
class Sizes:
    """How rows are cut and what the solver may take; bytes may depend on it, so it is kept.

    Attributes:
        shard_rows: Signals of one output file.
        chunk_rows: Signals that are coded at once; each shard begins a new chunk.
        solver_memory: Bytes of the solver's workspace.
    """

    shard_rows: int
    chunk_rows: int
    solver_memory: int


def cut_rows(
    coding: Coding,
    shape: tuple[int, int],
    dtype: torch.dtype,
    max_memory: int,
    shard_rows: int | None,
    chunk_rows: int | None,
) -> Sizes:
    """Divides memory: half for the solver, a quarter for a chunk, a quarter for a shard's codes.

    Args:
        coding: Bounds a signal's nonzeros.
        shape: ``(N, M)`` of the dictionary.
        dtype: Of the work.
        max_memory: Bytes, beside the dictionary.
        shard_rows: What the caller wants; ``None``: as many as fit, at most 65,536.
        chunk_rows: What the caller wants; ``None``: as many as fit, at most 8,192.

    Raises:
        ValueError: Not even one signal fits, or not the shard that is wanted.
    """
    quarter, size = max_memory // 4, dtype.itemsize
    most = coding.most_nonzeros(*shape)
    slots = most if coding.method == "omp" else min(shape)
    # The file's row and ours, its residual; slots as the solver makes, trims and compresses them.
    chunk_row = shape[1] * (8 + 3 * size) + slots * 2 * (8 + size) + 64
    code_row = most * (4 + size) + 64
    if quarter < max(chunk_row, code_row):
        raise ValueError(
            f"max_memory must be at least {4 * max(chunk_row, code_row)} bytes for this"
            f" dictionary, got {max_memory}"
        )
    if shard_rows is not None and shard_rows * code_row > quarter:
        raise ValueError(
            f"shard_rows must be at most {quarter // code_row} with max_memory={max_memory},"
            f" got {shard_rows} (or raise max_memory to {4 * shard_rows * code_row})"
        )
    shard = shard_rows or min(SHARD_ROWS, quarter // code_row)
    chunk = min(chunk_rows or CHUNK_ROWS, shard, quarter // chunk_row)
    return Sizes(shard, chunk, max_memory // 2)


@dataclass(frozen=True)
class EncodeJob:
    """What one rank knows of an encoding.

    Attributes:
        out: The folder, the same for all ranks.
        plan: All that the results depend on.
        signals: The inputs.
        coder: Solves.
        sizes: How the rows are cut.
    """

    out: Path
    plan: Plan
    signals: Signals
    coder: Coder
    sizes: Sizes

    @property
    def n_shards(self) -> int:
        """Files of the result."""
        return max(1, -(-len(self.signals) // self.sizes.shard_rows))

    def name(self, i: int) -> str:
        """The file of shard ``i``."""
        return f"codes-{i:06d}.safetensors"

    def rows(self, i: int) -> range:
        """The signals of shard ``i``."""
        first = i * self.sizes.shard_rows
        return range(first, min(first + self.sizes.shard_rows, len(self.signals)))

    def begin(self, ranks: Processes) -> None:
        """Writes the plan, or finds that the folder was begun by the same one; rank 0 only.

        Raises:
            ValueError: It was begun otherwise, or holds codes without a plan.
        """
        if ranks.rank > 0:
            return
        way_out = f"Give another --out, or the settings of before, or delete {self.out}"
        self.out.mkdir(parents=True, exist_ok=True)
        before = read_json(self.out / PLAN, way_out)
        if before is not None:
            check_same(self.plan, before, self.out, way_out)
            return
        if any(self.out.glob("codes-*.safetensors")):
            raise ValueError(f"{self.out} holds codes that nothing tells about. {way_out}")
        write_json(self.out / PLAN, self.plan)

    def check_shared(self) -> None:
        """Demands that this rank sees what rank 0 wrote, and has the same inputs.

        Raises:
            ValueError: It does not.
        """
        way_out = "All ranks must read the same files with the same settings"
        before = read_json(self.out / PLAN, way_out)
        if before is None:
            raise ValueError(
                f"{self.out} is not the folder that rank 0 writes to: --out must be on a file"
                " system that all machines share"
            )
        check_same(self.plan, before, self.out, way_out)

    def missing(self, ranks: Processes) -> list[int]:
        """Shards that no run has finished, in one list for all ranks."""
        there = {path.name for path in self.out.glob("codes-*.safetensors")}
        todo = [i for i in range(self.n_shards) if self.name(i) not in there]
        shared: list[int] = json.loads(ranks.share(json.dumps(todo).encode()))
        return shared

    def run(self, shards: Sequence[int], ranks: Processes, *, is_silent: bool) -> None:
        """Codes some shards, one after the other, each in chunks."""
        n_own = sum(len(self.rows(i)) for i in shards)
        n_before = len(self.signals) - n_own if ranks.n_ranks == 1 else 0
        title = f"rank 0 of {ranks.n_ranks}" if ranks.n_ranks > 1 else None
        is_silent = is_silent or ranks.rank > 0
        with show_progress(n_own + n_before, n_before, title, is_silent=is_silent) as bar:
            for i in shards:
                self._code_shard(i, bar.update)

    def _code_shard(self, i: int, report: Any) -> None:
        rows, dictionary = self.rows(i), self.coder.dictionary
        parts, backends = [], set()
        for first in range(rows.start, max(rows.stop, rows.start + 1), self.sizes.chunk_rows):
            last = min(first + self.sizes.chunk_rows, rows.stop)
            code = self.coder(self.signals.read(first, last, dictionary.dtype))
            coding, keeps_norm = self.coder.coding, self.plan["residual_norm"]
            parts.append(
                to_rows(
                    code,
                    len(dictionary),
                    keeps_alpha=coding.keeps_alpha,
                    keeps_norm=keeps_norm,
                )
            )
            backends.add(code.backend)
            report(last - first)
        about = {
            "plan": digest(self.plan),
            "first": rows.start,
            "made_by": made_by("+".join(sorted(backends))),
        }
        write_shard(self.out / self.name(i), parts, about)

    def finish(self) -> None:
        """Checks that every shard is there and is ours, and writes the manifest.

        Raises:
            ValueError: A shard is damaged or comes from other settings.
        """
        shards = [self._check_shard(i) for i in range(self.n_shards)]
        counts: Counter[str] = Counter()
        for about in shards:
            counts.update(about["status"])
        gaps = [about["largest_gap"] for about in shards if about["largest_gap"] is not None]
        files = ("first", "n_signals", "n_nonzero")
        manifest = {
            "plan": self.plan,
            "inputs": [source.describe() for source in self.signals.sources],
            "n_signals": len(self.signals),
            "n_atoms": len(self.coder.dictionary),
            "n_features": self.signals.n_features,
            "n_nonzero": sum(about["n_nonzero"] for about in shards),
            "status": {each.name: counts[each.name] for each in Status},
            "largest_gap": max(gaps, default=None),
            "made_by": sorted({about["made_by"] for about in shards}),
            "shards": [
                {"file": self.name(i), **{key: about[key] for key in files}}
                for i, about in enumerate(shards)
            ],
        }
        write_json(self.out / MANIFEST, manifest)
        remove_leftovers(self.out, "*")

    def _check_shard(self, i: int) -> dict[str, Any]:
        path = self.out / self.name(i)
        try:
            about = read_about(path)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path} is damaged: delete it, and run the same again") from error
        if about["plan"] != digest(self.plan) or about["n_signals"] != len(self.rows(i)):
            raise ValueError(f"{path} is of other settings: delete it, and run the same again")
        return about
