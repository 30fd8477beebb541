"""Accuracy with its uncertainty."""

from __future__ import annotations

import math
from typing import NamedTuple

QUANTILE_95 = 1.959963984540054


class Difference(NamedTuple):
    """A difference of two shares of the same samples, with its confidence interval."""

    value: float
    low: float
    high: float


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
    only_first, only_second = _disagreements("paired_excess", first, second)
    excess = only_first - only_second
    return excess, abs(excess) > 2 * math.sqrt(only_first + only_second)


def paired_difference(first: str, second: str, quantile: float = QUANTILE_95) -> Difference:
    """Measures the difference of two accuracies on the same samples, ``first`` minus ``second``.

    Args:
        first: One outcome per sample, ``"1"`` (right) or ``"0"``.
        second: The other, on the same samples in the same order.
        quantile: Of the standard normal law; the default gives 95%.

    Returns:
        The difference and both ends of its interval, in [-1, 1].

    Example:
        >>> value, low, high = paired_difference("11111111", "00001111")
        >>> value, round(low, 2), round(high, 2)
        (0.5, -0.01, 0.81)

    Source: Bonett and Price, 2012: Wald's interval with one more pair of each discordant kind.
    """
    only_first, only_second = _disagreements("paired_difference", first, second)
    total = len(first) + 2
    gained, lost = (only_first + 1) / total, (only_second + 1) / total
    middle = gained - lost
    half = quantile * math.sqrt((gained + lost - middle**2) / total)
    value = (only_first - only_second) / len(first)
    return Difference(value, max(-1.0, middle - half), min(1.0, middle + half))


def _disagreements(who: str, first: str, second: str) -> tuple[int, int]:
    """On how many samples only ``first`` is right, and only ``second``."""
    if len(first) != len(second):
        raise ValueError(
            f"{who}: outcomes must be on the same samples, got {len(first)} and {len(second)}"
        )
    pairs = list(zip(first, second, strict=True))
    return pairs.count(("1", "0")), pairs.count(("0", "1"))
