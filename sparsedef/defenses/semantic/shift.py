"""How far an attack moved an embedding and its code, beside how far theory lets the code move."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Shift(NamedTuple):
    """What an attack did to embeddings x and codes z over atoms D, each ``[B]``.

    With a = x' - x and dz = z' - z:

    Attributes:
        size: ||a||_2.
        leak: ||D a||_inf, eta of the theory: what of the attack any one atom can see.
        share_in_span: ||P a||^2 / ||a||^2, P the projection on the span of the atoms; 0 if a = 0.
        jaccard: Common nonzeros of the two codes over all of their nonzeros; 1 if both are 0.
        code_change: ||dz||_2.
        fit_change: ||dz D||_2.
        code_bound: What ``code_change`` cannot exceed; NaN unless the codes are plain LASSO codes.
        fit_bound: What ``fit_change`` cannot exceed, likewise.

    Both bounds follow from <dz D, dz D> <= <D a, dz> (each code is optimal for its own signal, and
    the l1 norm's subgradient is monotone; true for z >= 0 too). So ||dz D|| <= sqrt(<D a, dz>),
    which is at most ||a||: the fit never moves farther than the embedding. And with T the atoms
    used by either code and s the smallest singular value of D_T, ||dz|| <= ||D_T a|| / s^2, which
    is at most sqrt(|T|) eta / s^2: the bound that a restricted isometry would give for every
    support, measured on this one. It is infinite when atoms of T depend on each other.
    """

    size: Tensor
    leak: Tensor
    share_in_span: Tensor
    jaccard: Tensor
    code_change: Tensor
    fit_change: Tensor
    code_bound: Tensor
    fit_bound: Tensor

    def rows(self) -> list[dict[str, float]]:
        """The same by image, as plain numbers by name."""
        columns = [column.tolist() for column in self]
        return [dict(zip(self._fields, row, strict=True)) for row in zip(*columns, strict=True)]


def measure_shift(
    dictionary: Tensor,
    x: Tensor,
    moved: Tensor,
    codes: Tensor,
    moved_codes: Tensor,
    *,
    is_lasso: bool = False,
) -> Shift:
    """Measures the shift from ``x`` to ``moved`` ``[B, M]`` and of their codes ``[B, N]``.

    Args:
        dictionary: Atoms ``[N, M]``.
        x: Centred embeddings.
        moved: The same after the attack.
        codes: Of ``x``.
        moved_codes: Of ``moved``.
        is_lasso: Whether the codes are exact LASSO codes at one alpha, so that the bounds hold.
    """
    attack, change = moved - x, moved_codes - codes
    seen = attack @ dictionary.mT
    basis = span(dictionary)
    size = attack.norm(dim=1)
    inside = (attack @ basis.mT).square().sum(dim=1) / size.square().where(size > 0, 1)
    common = ((codes != 0) & (moved_codes != 0)).sum(dim=1)
    either = (codes != 0) | (moved_codes != 0)
    count = either.sum(dim=1)
    unknown = torch.full_like(size, torch.nan)
    code_bound, fit_bound = unknown, unknown
    if is_lasso:
        fit_bound = (seen * change).sum(dim=1).clamp_min(0).sqrt()
        bounds = [
            _bound(dictionary[used], row[used]) for used, row in zip(either, seen, strict=True)
        ]
        code_bound = torch.stack(bounds) if bounds else unknown
    return Shift(
        size,
        seen.abs().amax(dim=1),
        inside,
        (common.to(size) / count.clamp_min(1)).where(count > 0, 1),
        change.norm(dim=1),
        (change @ dictionary).norm(dim=1),
        code_bound,
        fit_bound,
    )


def span(dictionary: Tensor) -> Tensor:
    """An orthonormal basis ``[r, M]`` of the span of the atoms, to working precision."""
    _, values, basis = torch.linalg.svd(dictionary, full_matrices=False)
    limit = values[0] * max(dictionary.shape) * torch.finfo(values.dtype).eps
    return basis[values > limit]


def _bound(atoms: Tensor, seen: Tensor) -> Tensor:
    """||D_T a|| / s^2 for the atoms D_T in use, ``[|T|, M]``, and D_T a."""
    if len(atoms) == 0:
        return seen.new_zeros(())
    if len(atoms) > atoms.shape[1]:
        return seen.new_full((), torch.inf)
    smallest = torch.linalg.svdvals(atoms)[-1]
    return seen.norm() / smallest.square()
