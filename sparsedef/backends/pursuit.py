"""The numbers that every greedy pursuit goes by, whoever computes it; see ``docs/backends.md``."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

Count = TypeVar("Count", int, Tensor)


def rounding_level(dtype: torch.dtype) -> float:
    """Correlations below this fraction of the first one are rounding noise: the signal is done."""
    return 32 * torch.finfo(dtype).eps


def dependence_level(dtype: torch.dtype) -> float:
    """An atom with less than this share of its energy outside the support is dependent on it."""
    return 1e-8 if dtype == torch.float64 else 1e-5


def most_entries(n_nonzero: Count) -> Count:
    """After so many entries of atoms a nonnegative pursuit that still drops some is given up."""
    return 3 * n_nonzero + 10


def power_of_two(x: Tensor) -> Tensor:
    """The power of two that brings each signal near 1, where squares neither vanish nor overflow.

    Products with it are exact: the answer for 2^n x is 2^n times the answer for x.
    """
    most = 126 if x.dtype == torch.float32 else 1022
    _, exponent = torch.frexp(x.abs().amax(dim=1))
    return torch.exp2(-exponent.clamp(-most, most).to(x.dtype))
