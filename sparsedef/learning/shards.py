"""Which rows make a minibatch: one order of all ranks' rows, from the seed alone."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.learning.ranks import Ranks

_STRIDE = 0x9E3779B97F4A7C15  # odd and large: seeds of neighbours' epochs never meet


def epoch_order(n_rows: int, seed: int, epoch: int) -> Tensor:
    """Shuffles the numbers of all rows; the same arguments give the same order everywhere."""
    draw = torch.Generator().manual_seed((seed + epoch * _STRIDE) % 2**63)
    return torch.randperm(n_rows, generator=draw)


class Shard:
    """A rank's rows, and their numbers among the rows of all ranks, which follow each other.

    Attributes:
        x: Its rows, ``[B, M]``.
        offset: The number of its first row.
        n_rows: How many rows all ranks have.
    """

    def __init__(self, x: Tensor, ranks: Ranks) -> None:
        """Asks all ranks for their numbers of rows."""
        counts = ranks.gather(torch.tensor([len(x)], device=x.device)).tolist()
        self.x = x
        self.offset = sum(counts[: ranks.rank])
        self.n_rows = sum(counts)

    def take(self, chosen: Tensor) -> Tensor:
        """Gives the own rows among the numbers ``chosen``, in their order."""
        return self.x.index_select(0, self._own(chosen).to(self.x.device))

    def gather(self, chosen: Tensor, ranks: Ranks) -> Tensor:
        """Gives the rows of all ranks with the numbers ``chosen``, in their order, to all ranks."""
        own = self.take(chosen)
        is_here = (chosen >= self.offset) & (chosen < self.offset + len(self.x))
        places = ranks.gather(is_here.nonzero()[:, 0].to(own.device))
        return ranks.gather(own)[places.argsort()]

    def _own(self, chosen: Tensor) -> Tensor:
        here = chosen - self.offset
        if len(self.x) == self.n_rows:
            return here
        return here[(here >= 0) & (here < len(self.x))]
