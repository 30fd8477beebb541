"""The proximal map that every LASSO algorithm here takes its steps with, and how long they are."""

from __future__ import annotations

import torch
from torch import Tensor


def soft_threshold(values: Tensor, threshold: Tensor, nonnegative: bool) -> Tensor:
    """Shrinks towards zero: the proximal map of ``threshold * |z|`` (and of z >= 0)."""
    if nonnegative:
        return (values - threshold).clamp_min(0)
    return values.sign() * (values.abs() - threshold).clamp_min(0)


def lipschitz(dictionary: Tensor, ridge: Tensor | None = None) -> Tensor:
    """The largest eigenvalue of D D^T (plus ridge), with a margin for rounding; differentiable."""
    n_atoms, n_features = dictionary.shape
    small = dictionary if n_atoms <= n_features else dictionary.mT
    largest = torch.linalg.eigvalsh(small @ small.mT)[-1]
    if ridge is not None:
        largest = largest + ridge.amax()
    return largest * (1 + 8 * torch.finfo(dictionary.dtype).eps)
