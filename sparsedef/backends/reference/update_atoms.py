"""The atoms' turn in dictionary learning, one after the other."""

from __future__ import annotations

import torch
from torch import Tensor


def update_atoms(
    dictionary: Tensor,
    gram: Tensor,
    cross: Tensor,
    nonnegative: bool,
    unit: bool,
    n_passes: int,
) -> Tensor:
    """Moves each atom in its order to where the surrogate is least while the others stay.

    The surrogate of codes Z and signals X is f(D) = 1/2 tr(D^T A D) - tr(D^T B) with A = Z^T Z and
    B = Z^T X: 1/2 ||X - Z D||^2 less a constant. In atom j alone it is A_jj / 2 ||d_j - u||^2 plus
    a constant, u = d_j + (b_j - sum_i A_ji d_i) / A_jj, so its least point in the ball is u brought
    back to norm 1 if it is longer, and on the sphere u / ||u||; with d_j >= 0 the same of
    max(u, 0). No move raises f; where no atom moves, f is stationary.

    Atoms with A_jj at most eps^2 of the largest A_ii stay, as does one whose u has no direction on
    the sphere.

    Args:
        dictionary: D, ``[N, M]``.
        gram: A, ``[N, N]``, symmetric and positive semidefinite.
        cross: B, ``[N, M]``.
        nonnegative: Demand D >= 0.
        unit: Norms of exactly 1 (the sphere); else at most 1 (the ball).
        n_passes: Rounds over all atoms.

    Returns:
        The new atoms, ``[N, M]``.

    Source: Mairal, Bach, Ponce, Sapiro, "Online learning for matrix factorization and sparse
    coding", 2010, algorithm 2.
    """
    atoms = dictionary.clone()
    weights = gram.diagonal()
    is_settled = weights > weights.amax() * torch.finfo(gram.dtype).eps ** 2
    steps = (1 / weights).where(is_settled, 0)
    for _ in range(n_passes):
        for j in range(len(atoms)):
            target = torch.addmv(cross[j], atoms.mT, gram[j], alpha=-1) * steps[j] + atoms[j]
            if nonnegative:
                target = target.clamp_min(0)
            norm = target.norm()
            moves = is_settled[j] & (norm > 0) if unit else is_settled[j]
            length = norm.where(norm > 0, 1) if unit else norm.clamp_min(1)
            atoms[j] = (target / length).where(moves, atoms[j])
    return atoms
