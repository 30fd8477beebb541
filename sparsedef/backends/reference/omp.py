"""Orthogonal matching pursuit in plain torch, all signals side by side."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.backends.base import Status

_CHUNK = 1 << 24  # numbers in the largest temporary, [B, K, N]


def rounding_level(dtype: torch.dtype) -> float:
    """Correlations below this fraction of the first one are rounding noise: the signal is done."""
    return 32 * torch.finfo(dtype).eps


def dependence_level(dtype: torch.dtype) -> float:
    """An atom with less than this share of its energy outside the support is dependent on it."""
    return 1e-8 if dtype == torch.float64 else 1e-5


def omp(
    x: Tensor,
    dictionary: Tensor,
    tol: Tensor,
    limits: Tensor | None,
    n_nonzero: int,
    selection: str,
    nonnegative: bool,
    max_memory: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Codes each signal greedily; see ``sparsedef.omp`` for the problem and the shapes.

    The chosen atoms are orthonormalised as they come: u_j is the part of atom d_j outside the
    span of those before it, scaled to norm 1. What is kept is not u_j but its products with all
    atoms, q_j = D u_j ``[N]``, because everything follows from them:

    - correlations with the residual: c <- c - (c_j / n_j) q_j,
    - squared norm of each atom outside the span: n^2 <- n^2 - q_j^2,
    - the triangular factor of the support's Gram matrix: L[j, i] = q_i[atom j].

    Selection ``"omp"`` takes the largest |c|; ``"ols"`` the largest c^2 / n^2, which is the atom
    that lowers the residual most. Ties go to the lowest index.

    Source: Rubinstein, Zibulevsky, Elad, "Efficient implementation of the K-SVD algorithm using
    batch orthogonal matching pursuit", 2008; Chen, Billings, Luo, 1989 (the OLS rule).
    """
    gram = dictionary @ dictionary.T
    rows = max(1, _CHUNK // (len(dictionary) * n_nonzero))
    parts = [
        _omp_chunk(x[i : i + rows], dictionary, gram, n_nonzero, tol[i : i + rows], selection)
        for i in range(0, max(len(x), 1), rows)
    ]
    indices, values, residual, n_iter, status = (
        torch.cat(part) for part in zip(*parts, strict=True)
    )
    return indices, values, residual, n_iter, status


def _omp_chunk(
    x: Tensor, dictionary: Tensor, gram: Tensor, n_nonzero: int, tol: Tensor, selection: str
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    n_signals, n_atoms = len(x), len(dictionary)
    finite = x.isfinite().all(dim=1)
    signals = x.where(finite[:, None], 0)
    each = torch.arange(n_signals, device=x.device)

    norms = gram.diagonal()
    correlations = signals @ dictionary.T
    outside = norms.expand(n_signals, n_atoms).clone()
    projections = x.new_zeros(n_signals, n_nonzero, n_atoms)  # q_j
    factor = torch.eye(n_nonzero, dtype=x.dtype, device=x.device).repeat(n_signals, 1, 1)
    targets = x.new_zeros(n_signals, n_nonzero)  # u_j . x
    indices = torch.full((n_signals, n_nonzero), -1, device=x.device)
    energy = signals.square().sum(dim=1)
    status = torch.full((n_signals,), int(Status.CONVERGED), dtype=torch.int32, device=x.device)
    is_running = finite.clone()

    first_best = _scores(correlations, outside, norms, selection).amax(dim=1)
    level = rounding_level(x.dtype)
    floor = first_best * (level if selection == "omp" else level**2)
    for j in range(n_nonzero):
        scores = _scores(correlations, outside, norms, selection)
        best = scores.amax(dim=1)
        is_running = is_running & (best > floor) & ((energy > tol) | (tol == 0))
        atom = _first_index_of(scores, best)
        row = projections[each, :j, atom]
        left = norms[atom] - row.square().sum(dim=1)
        is_dependent = left <= dependence_level(x.dtype) * norms[atom]
        status[is_running & is_dependent] = int(Status.EXHAUSTED)
        is_running = is_running & ~is_dependent
        if not is_running.any():
            break

        norm = left.where(is_running, 1).sqrt()
        target = (correlations[each, atom] / norm).where(is_running, 0)
        projection = gram[atom] - torch.einsum("bi,bin->bn", row, projections[:, :j])
        projection = (projection / norm[:, None]).where(is_running[:, None], 0)
        correlations = correlations - target[:, None] * projection
        outside = outside - projection.square()
        energy = energy - target.square()
        projections[:, j] = projection
        factor[:, j, :j] = row.where(is_running[:, None], 0)
        factor[:, j, j] = norm
        targets[:, j] = target
        indices[:, j] = atom.where(is_running, -1)

    values = torch.linalg.solve_triangular(factor.mT, targets[:, :, None], upper=True)[:, :, 0]
    atoms = dictionary[indices.clamp_min(0)] * (indices >= 0)[:, :, None]
    residual = signals - torch.einsum("bk,bkm->bm", values, atoms)
    # One step of refinement: what the rounding of the updates left on the support.
    left = torch.einsum("bkm,bm->bk", atoms, residual)
    values = values + torch.cholesky_solve(left[:, :, None], factor)[:, :, 0]
    values = values.where(indices >= 0, 0)
    residual = signals - torch.einsum("bk,bkm->bm", values, atoms)
    n_iter = (indices >= 0).sum(dim=1).to(torch.int32)
    status[~finite] = int(Status.NONFINITE)
    values = values.where(finite[:, None], torch.nan)
    return indices, values, residual.where(finite[:, None], torch.nan), n_iter, status


def _scores(correlations: Tensor, outside: Tensor, norms: Tensor, selection: str) -> Tensor:
    if selection == "omp":
        return correlations.abs()
    is_candidate = outside > dependence_level(outside.dtype) * norms
    return (correlations.square() / outside).where(is_candidate, 0)


def _first_index_of(scores: Tensor, best: Tensor) -> Tensor:
    n_atoms = scores.shape[1]
    order = torch.arange(n_atoms, device=scores.device)
    return order.where(scores == best[:, None], n_atoms).amin(dim=1)
