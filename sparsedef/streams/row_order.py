"""In which order a stream's rows are learned from: shuffled, yet read in blocks, by any ranks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sparsedef.learning.shards import epoch_order
from sparsedef.streams.sources import Signals


class RowOrder:
    """Minibatches of shuffled blocks of consecutive rows, the same for any number of ranks.

    An epoch sees every row once: it is cut into minibatches of whole blocks, as even as can be and
    none of less than about ``batch_size`` rows, so no small one comes last. Ranks take consecutive
    parts of each minibatch.

    Args:
        n_rows: Of the stream, at least 1.
        batch_size: Rows of a minibatch, about; all rows where there are fewer.
        block_rows: Rows that lie together and stay together; large ones are read faster, small
            ones are mixed better.
        seed: Of the order.

    Example:
        >>> from sparsedef.streams.row_order import RowOrder
        >>> order = RowOrder(10, batch_size=4, block_rows=2, seed=0)
        >>> order.n_batches, order.ranges(0, 0, 2), order.ranges(0, 1, 2)
        (2, [(8, 10)], [(0, 2)])
    """

    def __init__(self, n_rows: int, batch_size: int, block_rows: int, seed: int) -> None:
        """Keeps the sizes; see the class."""
        self.n_rows, self.seed = n_rows, seed
        self.block_rows = min(block_rows, batch_size)
        self.n_blocks = -(-n_rows // self.block_rows)
        self.n_batches = max(1, n_rows // batch_size)
        self._epoch, self._blocks = -1, torch.empty(0, dtype=torch.int64)

    def ranges(self, step: int, rank: int = 0, n_ranks: int = 1) -> list[tuple[int, int]]:
        """A rank's part of the minibatch ``step``, counted through all epochs, as row ranges."""
        epoch, batch = divmod(step, self.n_batches)
        if epoch != self._epoch:
            self._epoch, self._blocks = epoch, epoch_order(self.n_blocks, self.seed, epoch)
        first, last = (i * self.n_blocks // self.n_batches for i in (batch, batch + 1))
        blocks = [self._block(int(i)) for i in self._blocks[first:last]]
        n_rows = sum(end - begin for begin, end in blocks)
        part = range(rank * n_rows // n_ranks, (rank + 1) * n_rows // n_ranks)
        return list(_within(blocks, part))

    def _block(self, i: int) -> tuple[int, int]:
        return i * self.block_rows, min((i + 1) * self.block_rows, self.n_rows)


def _within(blocks: list[tuple[int, int]], part: range) -> Iterator[tuple[int, int]]:
    """The pieces of ``blocks``, laid end to end, that fall into ``part``."""
    start = 0
    for begin, end in blocks:
        first, last = max(part.start - start, 0), min(part.stop - start, end - begin)
        if first < last:
            yield begin + first, begin + last
        start += end - begin


def read_ranges(signals: Signals, ranges: list[tuple[int, int]], dtype: torch.dtype) -> Tensor:
    """Reads several ranges of rows, one after the other, ``[B, M]``."""
    parts = [signals.read(first, last, dtype) for first, last in ranges]
    return torch.cat(parts) if parts else torch.empty((0, signals.n_features), dtype=dtype)
