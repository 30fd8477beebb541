"""A penalty that an optimiser may move and that stays positive: its logarithm is the parameter."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sparsedef.solvers.checks import HALF


def log_penalty(who: str, alpha: object, weight: Tensor, learn: bool) -> nn.Parameter:
    """Makes the parameter ``log_alpha`` ``[1]``, on the device and in the dtype of ``weight``.

    One entry rather than none: some ways of sharding a model refuse parameters without a
    dimension. A logarithm rather than a softplus: a step then changes alpha by a share of itself,
    whatever the scale of the signals.
    """
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)):
        raise TypeError(f"{who}: alpha must be a number, got {type(alpha).__name__}")
    if not 0 < alpha < math.inf:
        raise ValueError(f"{who}: alpha must be finite and > 0, got {float(alpha)}")
    value = torch.full((1,), math.log(alpha), device=weight.device, dtype=weight.dtype)
    return nn.Parameter(value, requires_grad=learn)


def penalty(log_alpha: Tensor) -> Tensor:
    """Gives alpha itself, without a dimension, in float32 at least."""
    wide = log_alpha.float() if log_alpha.dtype in HALF else log_alpha
    return wide.exp()[0]
