"""The duality gap of a LASSO solution: the certificate that every backend reports."""

from __future__ import annotations

import torch
from torch import Tensor


def relative_gap(
    x: Tensor,
    residual: Tensor,
    codes: Tensor,
    correlations: Tensor,
    alpha: Tensor,
    nonnegative: bool,
) -> Tensor:
    """Bounds how far each signal's objective is from its minimum, relative to ``||x||^2 / 2``.

    With r = x - z D, c = D r and s = min(1, alpha / max|c|) (the largest c itself when z >= 0),
    theta = s r is feasible for the dual, and primal minus dual equals

        1/2 (1 - s)^2 ||r||^2 + sum_j (alpha |z_j| - s z_j c_j),

    a sum of non-negative terms: it does not cancel, so float32 can certify small gaps.

    Args:
        x: Signals, ``[B, M]``.
        residual: ``x - codes @ dictionary``, ``[B, M]``.
        codes: ``[B, N]``.
        correlations: ``residual @ dictionary.T``, ``[B, N]``.
        alpha: ``[B]``.
        nonnegative: Whether z >= 0 was demanded.

    Returns:
        ``[B]``, at least 0; 0 for a zero signal.

    Source: Boyd et al., "An interior-point method for large-scale l1-regularized least squares",
    2007, section III; the rearrangement is ours.
    """
    peak = correlations.amax(dim=1) if nonnegative else correlations.abs().amax(dim=1)
    return gap_from_peak(x, residual, codes, correlations, alpha, peak)


def gap_from_peak(
    x: Tensor,
    residual: Tensor,
    codes: Tensor,
    correlations: Tensor,
    alpha: Tensor,
    peak: Tensor,
) -> Tensor:
    """Does the work of :func:`relative_gap` when the largest correlation is known, ``[B]``.

    ``codes`` and ``correlations`` then need to match only on the nonzero codes.
    """
    tiny = torch.finfo(x.dtype).tiny
    scale = torch.where(peak > alpha, alpha / peak.clamp_min(tiny), torch.ones_like(alpha))
    spread = (1 - scale).square() * residual.square().sum(dim=1) / 2
    slack = alpha[:, None] * codes.abs() - scale[:, None] * codes * correlations
    energy = x.square().sum(dim=1) / 2
    gap = (spread + slack.sum(dim=1)).clamp_min(0)
    return torch.where(energy > 0, gap / energy.clamp_min(tiny), torch.zeros_like(gap))
