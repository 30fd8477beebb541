"""The proximal map that every LASSO algorithm here takes its steps with."""

from __future__ import annotations

from torch import Tensor


def soft_threshold(values: Tensor, threshold: Tensor, nonnegative: bool) -> Tensor:
    """Shrinks towards zero: the proximal map of ``threshold * |z|`` (and of z >= 0)."""
    if nonnegative:
        return (values - threshold).clamp_min(0)
    return values.sign() * (values.abs() - threshold).clamp_min(0)
