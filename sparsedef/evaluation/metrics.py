"""Accuracy with its uncertainty."""

from __future__ import annotations

import math
from typing import NamedTuple

QUANTILE_95 = 1.959963984540054


class Interval(NamedTuple):
    """A confidence interval for a share, both ends in [0, 1]."""

    low: float
    high: float


def wilson_interval(right: int, total: int, quantile: float = QUANTILE_95) -> Interval:
    """Bounds a true share, having seen ``right`` of ``total`` independent samples.

    Unlike the normal interval it stays inside [0, 1] and is not empty at 0 and 1.

    Args:
        right: Number seen, ``0 <= right <= total``.
        total: Number of samples, at least 1.
        quantile: Of the standard normal law; the default gives 95%.

    Raises:
        ValueError: The counts are impossible.

    Example:
        >>> low, high = wilson_interval(8, 10)
        >>> round(low, 3), round(high, 3)
        (0.49, 0.943)

    Source: Wilson, 1927.
    """
    if total < 1 or not 0 <= right <= total:
        raise ValueError(
            f"wilson_interval: counts must satisfy 0 <= right <= total and total >= 1, "
            f"got right={right}, total={total}"
        )
    share, square = right / total, quantile**2
    centre = share + square / (2 * total)
    half = quantile * math.sqrt(share * (1 - share) / total + square / (4 * total**2))
    scale = 1 + square / total
    # rounding must not push an end past the share itself, which at 0 and 1 is the end
    return Interval(
        max(0.0, min(share, (centre - half) / scale)),
        min(1.0, max(share, (centre + half) / scale)),
    )


def paired_excess(first: str, second: str) -> tuple[int, bool]:
    """Compares two outcomes on the same samples, as strings of ``"1"`` (right) and ``"0"``.

    Args:
        first: One outcome per sample.
        second: The other, on the same samples in the same order.

    Returns:
        By how many samples ``first`` is right more often, and whether that is beyond noise: more
        than two standard deviations of the number of samples on which they disagree, were those
        tosses of a coin (McNemar, 1947).

    Example:
        >>> paired_excess("1111111", "0000001")
        (6, True)
    """
    if len(first) != len(second):
        raise ValueError(
            f"paired_excess: outcomes must be on the same samples, got {len(first)} and "
            f"{len(second)}"
        )
    pairs = list(zip(first, second, strict=True))
    only_first, only_second = pairs.count(("1", "0")), pairs.count(("0", "1"))
    excess = only_first - only_second
    return excess, abs(excess) > 2 * math.sqrt(only_first + only_second)


def paired_interval(first: str, second: str, quantile: float = QUANTILE_95) -> tuple[float, float]:
    """Bounds the difference of two accuracies on the same samples, ``first`` minus ``second``.

    Args:
        first: One outcome per sample, ``"1"`` (right) or ``"0"``.
        second: The other, on the same samples in the same order.
        quantile: Of the standard normal law; the default gives 95%.

    Returns:
        Both ends, in [-1, 1].

    Example:
        >>> low, high = paired_interval("11111111", "00001111")
        >>> round(low, 2), round(high, 2)
        (-0.01, 0.81)

    Source: Bonett and Price, 2012: Wald's interval with one more pair of each discordant kind.
    """
    if len(first) != len(second):
        raise ValueError(
            f"paired_interval: outcomes must be on the same samples, got {len(first)} and "
            f"{len(second)}"
        )
    pairs = list(zip(first, second, strict=True))
    total = len(pairs) + 2
    gained, lost = ((pairs.count(pair) + 1) / total for pair in (("1", "0"), ("0", "1")))
    difference = gained - lost
    half = quantile * math.sqrt((gained + lost - difference**2) / total)
    return max(-1.0, difference - half), min(1.0, difference + half)
