"""Small dense LASSOs in torch, side by side: the inner problems of the working-set method."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.backends.shrinkage import soft_threshold

_SWEEPS = 4  # of coordinate descent, before atoms join one by one
_STEPS = 32  # most Newton steps, and four more for each atom
_REFINEMENTS = 3  # whole Newton steps after which a support counts as solved


def solve_small(
    gram: Tensor, slopes: Tensor, codes: Tensor, alpha: Tensor, nonnegative: bool
) -> Tensor:
    """Solves small dense LASSOs to working precision, each on its own.

    Minimises 1/2 ||x - z A||^2 + alpha ||z||_1 over the working atoms A, from where ``codes``
    stand; ``slopes`` are the correlations A r of the residual there. Only changes of the codes
    are multiplied by the Gram matrix, so its rounding errors shrink with them. A ridge penalty
    stands on the diagonal of the Gram matrix, and in the slopes.

    Alternates a sweep of coordinate descent, which moves the support, with a Newton step on the
    support, which is exact on it: solve (G_SS + damping) d = slope_S - alpha sign(z_S) and walk
    along d to the first change of sign. The damping costs convergence speed on singular supports,
    not accuracy. Sweeps find the support within a few rounds when the atoms are not too alike.
    When they are, a sweep undoes what the last Newton step did; then one atom at a time joins a
    solved support, which ends for certain. Waits for the device once a step.

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
    least = 1e-13 if gram.dtype == torch.float64 else 1e-6
    damping = least * gram.diagonal(dim1=1, dim2=2).amax(dim=1)
    joining = torch.full_like(rows, -1)  # the atom to join each support, if any
    n_whole = torch.zeros_like(rows)  # whole steps since the support last changed
    for step in range(_STEPS + 4 * gram.shape[1]):
        if len(rows) == 0:
            break
        if step < _SWEEPS:
            for j in range(gram.shape[1]):
                atom = torch.full_like(rows, j)
                codes, slopes = _descend(gram, slopes, codes, alpha, nonnegative, atom)
        else:
            codes, slopes = _descend(gram, slopes, codes, alpha, nonnegative, joining)
            n_whole = n_whole.where(joining < 0, 0)
        codes, slopes, is_whole = _newton(gram, slopes, codes, alpha, damping)
        result[rows] = codes
        n_whole = (n_whole + 1).where(is_whole, 0)
        on_support = (slopes - alpha[:, None] * codes.sign()).abs().where(codes != 0, 0)
        violation = (slopes if nonnegative else slopes.abs()) - alpha[:, None]
        worst, atom = violation.where(codes == 0, -torch.inf).max(dim=1)
        is_solved = (on_support.amax(dim=1) <= accuracy) | (n_whole >= _REFINEMENTS)
        is_solved &= is_whole
        joining = atom.where(is_solved, -1)
        keep = (~(is_solved & (worst <= accuracy))).nonzero()[:, 0]
        if len(keep) < len(rows):
            rows, codes, slopes, gram = rows[keep], codes[keep], slopes[keep], gram[keep]
            alpha, accuracy, damping = alpha[keep], accuracy[keep], damping[keep]
            joining, n_whole = joining[keep], n_whole[keep]
    return result


def _descend(
    gram: Tensor, slopes: Tensor, codes: Tensor, alpha: Tensor, nonnegative: bool, atom: Tensor
) -> tuple[Tensor, Tensor]:
    """Minimises over one coordinate of each signal, ``atom`` ``[U]`` (none where negative)."""
    place = atom.clamp_min(0)[:, None]
    row = gram.gather(1, place[:, :, None].expand(-1, 1, gram.shape[2]))[:, 0]
    curvature, before = row.gather(1, place), codes.gather(1, place)
    target = slopes.gather(1, place) + curvature * before
    new = soft_threshold(target, alpha[:, None], nonnegative) / curvature.where(curvature > 0, 1)
    change = (new - before).where((curvature > 0) & (atom >= 0)[:, None], 0)
    return codes.scatter_add(1, place, change), slopes - change * row


def _newton(
    gram: Tensor, slopes: Tensor, codes: Tensor, alpha: Tensor, damping: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Steps to the minimum on the support with the signs as they are, or to the first change.

    Returns:
        codes, slopes, and where the step was a whole one, ``[U]``.
    """
    is_on = codes != 0
    system = gram * (is_on[:, :, None] & is_on[:, None])
    system.diagonal(dim1=1, dim2=2).add_(damping[:, None].where(is_on, 1))
    slope = (slopes - alpha[:, None] * codes.sign()).where(is_on, 0)
    factor, info = torch.linalg.cholesky_ex(system)
    direction = torch.cholesky_solve(slope[:, :, None], factor)[:, :, 0]
    direction = direction.where(is_on & (info == 0)[:, None], 0)
    crosses = codes * (codes + direction) < 0
    reach = (codes / -direction.where(crosses, -1)).where(crosses, 1)
    length = reach.amin(dim=1, keepdim=True)
    new = (codes + length * direction).where(~(crosses & (reach == length)), 0)
    slopes = slopes - (gram @ (new - codes)[:, :, None])[:, :, 0]
    return new, slopes, length[:, 0] == 1
