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
    ridge: Tensor | None = None,
) -> Tensor:
    """Bounds how far each signal's objective is from its minimum, relative to ``||x||^2 / 2``.

    With r = x - z D, c = D r and s = min(1, alpha / max|c|) (the largest c itself when z >= 0),
    theta = s r is feasible for the dual, and primal minus dual equals

        1/2 (1 - s)^2 ||r||^2 + sum_j (alpha |z_j| - s z_j c_j),

    a sum of non-negative terms: it does not cancel, so float32 can certify small gaps. A ridge
    penalty 1/2 sum_j ridge_j z_j^2 is one more feature sqrt(ridge_j) of each atom, at which the
    signal is 0: then c = D r - ridge z, and ||r||^2 grows by sum_j ridge_j z_j^2.

    Args:
        x: Signals, ``[B, M]``.
        residual: ``x - codes @ dictionary``, ``[B, M]``.
        codes: ``[B, N]``.
        correlations: ``residual @ dictionary.T``, ``[B, N]``, without the ridge's part.
        alpha: ``[B]``.
        nonnegative: Whether z >= 0 was demanded.
        ridge: ``[N]``, or ``None`` for 0.

    Returns:
        ``[B]``, at least 0; 0 for a zero signal.

    Source: Boyd et al., "An interior-point method for large-scale l1-regularized least squares",
    2007, section III; the rearrangement is ours.
    """
    if ridge is not None:
        correlations = correlations - ridge * codes
    peak = correlations.amax(dim=1) if nonnegative else correlations.abs().amax(dim=1)
    return gap_from_peak(x, residual, codes, correlations, alpha, peak, ridge)


def gap_from_peak(
    x: Tensor,
    residual: Tensor,
    codes: Tensor,
    correlations: Tensor,
    alpha: Tensor,
    peak: Tensor,
    ridge: Tensor | None = None,
) -> Tensor:
    """Does the work of :func:`relative_gap` when the largest correlation is known, ``[B]``.

    ``codes``, ``correlations`` (here with the ridge's part, c = D r - ridge z) and ``ridge`` need
    to match on the nonzero codes only: any ``[B, W]`` that holds them will do.
    """
    tiny = torch.finfo(x.dtype).tiny
    scale = torch.where(peak > alpha, alpha / peak.clamp_min(tiny), torch.ones_like(alpha))
    left = residual.square().sum(dim=1)
    if ridge is not None:
        left = left + (ridge * codes.square()).sum(dim=1)
    spread = (1 - scale).square() * left / 2
    slack = alpha[:, None] * codes.abs() - scale[:, None] * codes * correlations
    energy = x.square().sum(dim=1) / 2
    gap = (spread + slack.sum(dim=1)).clamp_min(0)
    return torch.where(energy > 0, gap / energy.clamp_min(tiny), torch.zeros_like(gap))
