"""Data whose dictionary is known, and several ranks in one process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize


def planted(
    n_signals: int,
    n_features: int = 20,
    n_atoms: int = 30,
    k: int = 3,
    *,
    positive: bool = False,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Signals ``[B, M]`` of k random atoms each with codes in +-[0.5, 1.5], and the atoms."""
    draw = torch.Generator().manual_seed(seed)
    atoms = torch.randn(n_atoms, n_features, generator=draw, dtype=torch.float64)
    atoms = normalize(atoms.clamp_min(0) if positive else atoms, dim=1)
    chosen = torch.rand(n_signals, n_atoms, generator=draw).topk(k, dim=1).indices
    sizes = 0.5 + torch.rand(n_signals, k, generator=draw, dtype=torch.float64)
    signs = torch.randint(0, 2, (n_signals, k), generator=draw) * 2 - 1
    codes = sizes if positive else sizes * signs
    return torch.einsum("bk,bkm->bm", codes, atoms[chosen]).to(dtype), atoms.to(dtype)


def recovered(found: Tensor, atoms: Tensor) -> float:
    """The share of atoms that one of ``found`` equals up to its sign, to a cosine of 0.99."""
    cosines = (normalize(atoms, dim=1) @ normalize(found, dim=1).mT).abs()
    return float((cosines.amax(dim=1) > 0.99).double().mean())


@dataclass
class Meeting:
    """Where the threads of one test meet."""

    n_ranks: int
    tensors: dict[int, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.n_ranks, timeout=60)

    def exchange(self, rank: int, t: Tensor) -> list[Tensor]:
        self.tensors[rank] = t.clone()
        self.barrier.wait()
        found = [self.tensors[each] for each in range(self.n_ranks)]
        self.barrier.wait()
        return found


@dataclass
class ThreadRank:
    """One of several ranks that are threads of this process."""

    meeting: Meeting
    rank: int

    @property
    def n_ranks(self) -> int:
        return self.meeting.n_ranks

    def sum(self, t: Tensor) -> Tensor:
        return torch.stack(self.meeting.exchange(self.rank, t)).sum(dim=0)

    def gather(self, t: Tensor) -> Tensor:
        return torch.cat(self.meeting.exchange(self.rank, t))


def on_ranks(parts: list[Tensor], work: Callable[[Tensor, ThreadRank], Any]) -> list[Any]:
    """Runs ``work`` on each part in a thread of its own; their errors are raised here."""
    meeting = Meeting(len(parts))
    results: list[Any] = [None] * len(parts)
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            results[rank] = work(parts[rank], ThreadRank(meeting, rank))
        except BaseException as error:
            errors.append(error)
            meeting.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    real = [error for error in errors if not isinstance(error, threading.BrokenBarrierError)]
    for error in real or errors:
        raise error
    return results
