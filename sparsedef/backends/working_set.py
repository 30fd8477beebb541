"""LASSO by working sets: an exact answer for the price of a few matrix products.

The driver is torch on any device; the small problems are solved by a function that the backend
brings (:func:`solve_small` is the one in torch).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sparsedef.backends.certificate import gap_from_peak
from sparsedef.backends.shrinkage import soft_threshold

SolveSmall = Callable[[Tensor, Tensor, Tensor, Tensor, bool], Tensor]

_CHUNK = 1 << 24  # numbers in the largest temporary
_FIRST = 32  # atoms in the first working set
_GROWTH = 24  # violators that may join in one round
_PATIENCE = 10  # rounds without a smaller gap after which a signal is given up


def solve_small(
    gram: Tensor, slopes: Tensor, codes: Tensor, alpha: Tensor, nonnegative: bool
) -> Tensor:
    """Solves small dense LASSOs to working precision, each on its own.

    Minimises 1/2 ||x - z A||^2 + alpha ||z||_1 over the working atoms A, from where ``codes``
    stand; ``slopes`` are the correlations A r of the residual there. Only changes of the codes
    are multiplied by the Gram matrix, so its rounding errors shrink with them.

    Alternates a sweep of coordinate descent, which moves the support, with a Newton step on the
    support, which is exact on it: solve (G_SS + ridge) d = slope_S - alpha sign(z_S) and walk
    along d to the first change of sign. The ridge costs convergence speed on singular supports,
    not accuracy.

    Args:
        gram: A A^T, ``[U, W, W]``; a zero row belongs to an unused place or a zero atom.
        slopes: ``[U, W]``.
        codes: ``[U, W]``.
        alpha: ``[U]``.
        nonnegative: Demand z >= 0.

    Returns:
        codes ``[U, W]``.
    """
    result = codes.clone()
    rows = torch.arange(len(gram), device=gram.device)
    accuracy = 8 * torch.finfo(gram.dtype).eps * torch.maximum(slopes.abs().amax(dim=1), alpha)
    ridge = (1e-13 if gram.dtype == torch.float64 else 1e-6) * gram.diagonal(dim1=1, dim2=2).amax(1)
    for _ in range(60):
        if len(rows) == 0:
            break
        codes, slopes = _sweep(gram, slopes, codes, alpha, nonnegative)
        codes, slopes = _newton(gram, slopes, codes, alpha, ridge)
        slack = (slopes if nonnegative else slopes.abs()) - alpha[:, None]
        on_support = (slopes - alpha[:, None] * codes.sign()).abs()
        result[rows] = codes
        is_open = on_support.where(codes != 0, slack).amax(dim=1) > accuracy
        rows, codes, slopes, gram = rows[is_open], codes[is_open], slopes[is_open], gram[is_open]
        alpha, accuracy, ridge = alpha[is_open], accuracy[is_open], ridge[is_open]
    return result


def _sweep(
    gram: Tensor, slopes: Tensor, codes: Tensor, alpha: Tensor, nonnegative: bool
) -> tuple[Tensor, Tensor]:
    """Minimises over one coordinate after the other, once."""
    codes, slopes = codes.clone(), slopes.clone()
    for j in range(gram.shape[1]):
        curvature = gram[:, j, j]
        target = slopes[:, j] + curvature * codes[:, j]
        new = soft_threshold(target, alpha, nonnegative) / curvature.where(curvature > 0, 1)
        change = (new - codes[:, j]).where(curvature > 0, 0)
        codes[:, j] += change
        slopes -= change[:, None] * gram[:, j]
    return codes, slopes


def _newton(
    gram: Tensor, slopes: Tensor, codes: Tensor, alpha: Tensor, ridge: Tensor
) -> tuple[Tensor, Tensor]:
    """Steps to the minimum on the support with the signs as they are, or to the first change."""
    is_on = codes != 0
    system = gram * (is_on[:, :, None] & is_on[:, None])
    system = system + torch.diag_embed((~is_on).to(gram.dtype) + ridge[:, None] * is_on)
    slope = (slopes - alpha[:, None] * codes.sign()).where(is_on, 0)
    factor, info = torch.linalg.cholesky_ex(system)
    direction = torch.cholesky_solve(slope[:, :, None], factor)[:, :, 0]
    direction = direction.where(is_on & (info == 0)[:, None], 0)
    crosses = codes * (codes + direction) < 0
    reach = (codes / -direction.where(crosses, -1)).where(crosses, 1)
    length = reach.amin(dim=1, keepdim=True)
    new = (codes + length * direction).where(~(crosses & (reach == length)), 0)
    return new, slopes - (gram @ (new - codes)[:, :, None])[:, :, 0]


def active_set(
    x: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    init: Tensor | None,
    nonnegative: bool,
    tol: float,
    max_iter: int,
    solve: SolveSmall = solve_small,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Solves every signal's LASSO on a working set that grows by the atoms that violate it.

    Round: solve on the working set; one product of the residuals with all atoms gives the gap
    and the violators; signals whose relative gap is ``tol`` leave; the others keep their support
    and take the worst violators in. The objective falls in each round, so a set never returns.

    Returns:
        codes ``[B, N]``, residual ``[B, M]``, relative gap ``[B]``, rounds ``[B]`` (int32).

    Source: Massias, Gramfort, Salmon, "Celer: a fast solver for the Lasso with dual
    extrapolation", 2018 (working sets); Lee et al., "Efficient sparse coding algorithms", 2007
    (the step to the first sign change).
    """
    rows = max(1, _CHUNK // max(len(dictionary), 4 * _FIRST * x.shape[1]))
    parts = [
        _solve_chunk(
            x[i : i + rows],
            dictionary,
            alpha[i : i + rows],
            None if init is None else init[i : i + rows],
            nonnegative,
            tol,
            max_iter,
            solve,
        )
        for i in range(0, max(len(x), 1), rows)
    ]
    codes, residual, gap, n_iter = (torch.cat(part) for part in zip(*parts, strict=True))
    return codes, residual, gap, n_iter


def _solve_chunk(
    x: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    init: Tensor | None,
    nonnegative: bool,
    tol: float,
    max_iter: int,
    solve: SolveSmall,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    codes = x.new_zeros(len(x), len(dictionary)) if init is None else init.clone()
    residual = x - codes @ dictionary
    gap = torch.full_like(alpha, torch.inf)
    n_iter = torch.zeros(len(x), dtype=torch.int32, device=x.device)
    rows = torch.arange(len(x), device=x.device)  # the open signals; x and alpha follow them
    last_gain = torch.zeros_like(n_iter)
    for done in range(max_iter + 1):
        found, left = codes[rows], residual[rows]
        correlations = left @ dictionary.mT
        size = correlations if nonnegative else correlations.abs()
        now = gap_from_peak(x, left, found, correlations, alpha, size.amax(dim=1))
        last_gain[rows] = last_gain[rows].where(now >= gap[rows], done)
        gap[rows] = now
        n_iter[rows] = done
        is_open = (now > tol) & (done - last_gain[rows] < _PATIENCE)
        if done == max_iter or not is_open.any():
            break
        rows, x, alpha = rows[is_open], x[is_open], alpha[is_open]
        found, size = found[is_open], size[is_open]
        members = _choose_members(found, size, alpha, is_first=done == 0)
        is_slot = members >= 0
        place = members.clamp_min(0)
        atoms = dictionary[place] * is_slot[:, :, None]
        start = found.gather(1, place) * is_slot
        slopes = correlations[is_open].gather(1, place) * is_slot
        small = solve(atoms @ atoms.mT, slopes, start, alpha, nonnegative)
        codes[rows] = torch.zeros_like(found).scatter_add(1, place, small * is_slot)
        residual[rows] = x - torch.einsum("uw,uwm->um", small, atoms)
    return codes, residual, gap, n_iter


def _choose_members(codes: Tensor, size: Tensor, alpha: Tensor, *, is_first: bool) -> Tensor:
    """The support and the atoms with the largest correlations: ``[U, W]``, unused places -1."""
    is_on = codes != 0
    slots = int(is_on.sum(dim=1).amax()) + (_FIRST if is_first else _GROWTH)
    # The support first (by a score above every other), then violators by size.
    score = size.where(size > alpha[:, None], -1).where(~is_on, torch.inf)
    top = score.topk(min(slots, score.shape[1]), dim=1)
    return top.indices.where(top.values > 0, -1)
