"""The order in which a stream is learned from: every row once, for any number of ranks."""

from itertools import chain

import pytest

from sparsedef.streams.row_order import RowOrder


def rows(ranges: list[tuple[int, int]]) -> list[int]:
    return [row for first, last in ranges for row in range(first, last)]


@pytest.mark.parametrize(
    ("n_rows", "batch", "block"),
    [(1, 1, 1), (1000, 64, 8), (1000, 64, 7), (130, 64, 64), (5, 9, 3)],
)
def test_an_epoch_has_every_row_once_and_no_small_batch(
    n_rows: int, batch: int, block: int
) -> None:
    order = RowOrder(n_rows, batch, block, seed=3)
    batches = [rows(order.ranges(step)) for step in range(order.n_batches)]
    assert sorted(chain(*batches)) == list(range(n_rows))
    # Whole blocks: a batch may miss or exceed an even share by one of them.
    assert min(map(len, batches)) > min(batch, n_rows) - order.block_rows
    assert max(map(len, batches)) < 2 * max(batch, block) + order.block_rows


def test_each_epoch_and_seed_has_its_own_order() -> None:
    order = RowOrder(1000, 64, 8, seed=0)
    first, second = (rows(order.ranges(step)) for step in (0, order.n_batches))
    assert first != second
    assert rows(order.ranges(0)) == first  # going back is no matter
    assert rows(RowOrder(1000, 64, 8, seed=1).ranges(0)) != first


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 7])
def test_ranks_take_consecutive_parts_of_the_same_batch(n_ranks: int) -> None:
    order = RowOrder(1000, 64, 8, seed=0)
    for step in range(order.n_batches):
        whole = rows(order.ranges(step))
        parts = [rows(order.ranges(step, rank, n_ranks)) for rank in range(n_ranks)]
        assert list(chain(*parts)) == whole
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
