"""Intervals and paired comparisons are what the textbook says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsedef.evaluation import paired_excess, wilson_interval


@given(st.integers(1, 500), st.data())
def test_wilson_interval_holds_the_share_and_stays_in_range(total: int, data) -> None:  # type: ignore
    right = data.draw(st.integers(0, total))
    low, high = wilson_interval(right, total)
    assert 0 <= low <= right / total <= high <= 1
    mirrored = wilson_interval(total - right, total)
    assert mirrored.low == pytest.approx(1 - high)
    wider = wilson_interval(right, total, quantile=3)
    assert wider.low <= low + 1e-12
    assert wider.high >= high - 1e-12


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),
        (1, 2, 0.0945, 0.9055),
    ],
)
def test_wilson_interval_agrees_with_published_values(
    right: int, total: int, low: float, high: float
) -> None:
    assert wilson_interval(right, total) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(("right", "total"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_named(right: int, total: int) -> None:
    with pytest.raises(ValueError, match="0 <= right <= total"):
        wilson_interval(right, total)


def test_paired_excess_ignores_samples_on_which_both_agree() -> None:
    assert paired_excess("1" * 100, "1" * 100) == (0, False)
    assert paired_excess("1" * 96 + "1110", "1" * 96 + "0001") == (2, False)
    assert paired_excess("0000011111", "0000000000") == (5, True)
    assert paired_excess("0000000000", "0000011111") == (-5, True)
    with pytest.raises(ValueError, match="same samples"):
        paired_excess("01", "011")
