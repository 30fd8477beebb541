"""Several processes, on one machine or many, that share one piece of work (``torchrun``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

_PATIENCE = timedelta(days=30)  # a rank may wait for the slowest one; a dead one is noticed at once
_PIECE = 1 << 22  # numbers that are summed at once: each rank holds as many of every other


class Processes:
    """The ranks of a ``torchrun``, or this process alone.

    What ranks exchange is small (statistics, settings), so it goes over gloo on any device. Sums
    are taken in the order of the ranks, so every rank holds the same bits, and so does every run.

    Args:
        rank: Which of them this process is.
        n_ranks: How many there are; with more than one, torch's process group must be there.

    Example:
        >>> from sparsedef.streams.ranks import Processes
        >>> Processes().sum(torch.ones(2)), Processes().share(b"settings")
        (tensor([1., 1.]), b'settings')
    """

    def __init__(self, rank: int = 0, n_ranks: int = 1) -> None:
        """Keeps who this is; see the class."""
        self.rank, self.n_ranks = rank, n_ranks

    def sum(self, t: Tensor) -> Tensor:
        """Sum over the ranks of tensors of one shape, added in the order of the ranks."""
        if self.n_ranks == 1:
            return t
        flat = t.detach().cpu().contiguous().flatten()
        total = torch.empty_like(flat)
        for first in range(0, len(flat), _PIECE):
            own = flat[first : first + _PIECE]
            parts = self._all(own)
            result = parts[0]
            for part in parts[1:]:
                result = result + part
            total[first : first + _PIECE] = result
        return total.view(t.shape).to(t)

    def gather(self, t: Tensor) -> Tensor:
        """Rows of all ranks in the order of the ranks; each may have a different number."""
        if self.n_ranks == 1:
            return t
        own = t.detach().cpu().contiguous()
        counts = [int(count) for count in self._all(torch.tensor([len(own)]))]
        padded = own.new_zeros((max(counts), *own.shape[1:]))
        padded[: len(own)] = own
        parts = zip(self._all(padded), counts, strict=True)
        return torch.cat([part[:count] for part, count in parts]).to(t.device)

    def share(self, message: bytes = b"") -> bytes:
        """Gives every rank the message of rank 0; the others' is ignored."""
        if self.n_ranks == 1:
            return message
        size = torch.tensor([len(message)])
        self._talk(lambda: dist.broadcast(size, 0))
        is_source = self.rank == 0 and len(message) > 0
        letters = _letters(message) if is_source else torch.empty(int(size), dtype=torch.uint8)
        self._talk(lambda: dist.broadcast(letters, 0))
        return letters.numpy().tobytes()

    def wait(self) -> None:
        """Waits until all ranks are here."""
        if self.n_ranks > 1:
            self._all(torch.zeros(1))

    def attempt(self, do: Callable[[], T]) -> T:
        """Does on every rank what may fail on one of them; then all ranks fail alike.

        Raises:
            Exception: What ``do`` raised here; a ``ValueError`` that tells what it raised on
                another rank.
        """
        error: Exception | None = None
        try:
            result = do()
        except Exception as caught:
            error = caught
        text = "" if error is None else f"rank {self.rank}: {error}\0"
        told = self.gather(_letters(text.encode()))
        if len(told):
            # Nobody leaves before all have heard it.
            with suppress(ConnectionError):
                self.wait()
            raise error or ValueError(told.numpy().tobytes().split(b"\0")[0].decode())
        return result

    def _all(self, t: Tensor) -> list[Tensor]:
        parts = [torch.empty_like(t) for _ in range(self.n_ranks)]
        self._talk(lambda: dist.all_gather(parts, t))
        return parts

    def _talk(self, exchange: Callable[[], object]) -> None:
        try:
            exchange()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0].split(". ")[0]
            raise ConnectionError(
                f"rank {self.rank} lost another rank, which says why above or on its own machine"
                f" ({reason})"
            ) from error


def _letters(message: bytes) -> Tensor:
    """The bytes as a tensor."""
    return (
        torch.frombuffer(bytearray(message), dtype=torch.uint8)
        if message
        else torch.empty(0, dtype=torch.uint8)
    )


@contextmanager
def join_ranks() -> Iterator[Processes]:
    """Joins the ranks that ``torchrun`` has started, or is alone where there is no ``torchrun``.

    Raises:
        ValueError: The environment names a rank but not where to meet the others.
    """
    n_ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if n_ranks == 1:
        yield Processes()
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ValueError(
            f"WORLD_SIZE is {n_ranks} but {', '.join(missing)} is not set: start with torchrun"
            " --nproc-per-node=2 -m sparsedef ..., or unset WORLD_SIZE"
        )
    dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield Processes(dist.get_rank(), n_ranks)
    finally:
        # After a failure too: gloo's threads would abort the process at its end.
        dist.destroy_process_group()


def local_rank() -> int:
    """Which of this machine's ranks this is."""
    return int(os.environ.get("LOCAL_RANK", "0"))
