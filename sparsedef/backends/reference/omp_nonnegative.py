"""How a nonnegative pursuit keeps its codes positive: atoms whose code would not be are dropped."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.backends.reference.pursuit import Pursuit, lay_out, least_squares, orthonormalise


def keep_positive(now: Pursuit, old: Tensor) -> Tensor:
    """Drops atoms until the least squares codes of every support are positive; gives these codes.

    This is the inner loop of Lawson and Hanson. While the least squares codes z of a support are
    not all positive, its codes ``old`` walk towards z until the first of them is 0, which drops
    its atom; then z is computed anew. The atom that came last starts from 0. The objective falls
    with every walk, so a support that was left does not come back (but for rounding).

    Args:
        now: The signals, right after atoms came in; changed in place.
        old: The codes before that, ``[B, K]``, all positive, unused 0.

    Source: Lawson, Hanson, "Solving least squares problems", 1974, chapter 23; Nguyen, Soussen,
    Idier, Djermoune, "Nonnegative orthogonal greedy algorithms", 2019.
    """
    codes = now.codes(now.atoms())
    is_low = (now.indices[:, :-1] >= 0) & (codes <= 0)
    rows = is_low.any(dim=1).nonzero()[:, 0]
    if len(rows):
        indices, codes[rows] = _walk(
            now.x[rows], now.dictionary, now.indices[rows, :-1], old[rows], codes[rows]
        )
        now.replace(rows, indices)
    return codes


def _walk(
    x: Tensor, dictionary: Tensor, indices: Tensor, old: Tensor, codes: Tensor
) -> tuple[Tensor, Tensor]:
    """The loop for R signals: indices and codes ``[R, K]`` that are left."""
    place = torch.arange(indices.shape[1], device=x.device)
    tiny = torch.finfo(x.dtype).tiny
    while True:
        is_used = indices >= 0
        is_low = is_used & (codes <= 0)
        is_walking = is_low.any(dim=1)
        if not is_walking.any():
            return indices, codes
        ratio = old / (old - codes).clamp_min(tiny)
        step, first = ratio.masked_fill(~is_low, torch.inf).min(dim=1)  # of equal ones the first
        old = old.lerp(codes, step.clamp_max(1)[:, None]).clamp_min(0)

        keeps = is_used & ~((place == first[:, None]) & is_walking[:, None])
        order = (~keeps).to(torch.uint8).argsort(dim=1, stable=True)
        indices = indices.where(keeps, -1).gather(1, order)
        old = old.where(keeps, 0).gather(1, order)
        atoms = lay_out(dictionary, indices)
        basis, factor = orthonormalise(atoms, indices)
        targets = torch.einsum("bkm,bm->bk", basis, x)
        codes = least_squares(x, atoms, factor, targets)
