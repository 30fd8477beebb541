"""Dense codes to (indices, values) slots and back, and the outputs of the LASSO op from them."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.backends.base import Status


def positions(mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lists the true entries of ``mask`` ``[B, N]`` as rows, columns and their place in the row."""
    rows, columns = mask.nonzero(as_tuple=True)
    counts = mask.sum(dim=1)
    first = counts.cumsum(0) - counts
    place = torch.arange(rows.numel(), device=mask.device) - first[rows]
    return rows, columns, place


def pack(codes: Tensor, n_slots: int) -> tuple[Tensor, Tensor, Tensor]:
    """Moves the nonzeros of ``codes`` ``[B, N]`` into the first of ``n_slots`` slots.

    Returns:
        indices ``[B, n_slots]`` (unused: -1), values ``[B, n_slots]`` (unused: 0), and a mask
        ``[B]`` of the rows whose support did not fit; those rows have index -1, value NaN.
    """
    mask = codes != 0
    overflow = mask.sum(dim=1) > n_slots
    rows, columns, place = positions(mask & ~overflow[:, None])
    indices = torch.full((len(codes), n_slots), -1, dtype=torch.int64, device=codes.device)
    values = codes.new_zeros(len(codes), n_slots)
    indices[rows, place] = columns
    values[rows, place] = codes[rows, columns]
    values[overflow] = torch.nan
    return indices, values, overflow


def unpack(indices: Tensor, values: Tensor, n_atoms: int) -> Tensor:
    """Spreads slots ``[B, K]`` over dense codes ``[B, N]``; differentiable in ``values``."""
    codes = values.new_zeros(values.shape[0], n_atoms)
    return codes.scatter_add(1, indices.clamp_min(0), values.where(indices >= 0, 0))


def lay_out(
    codes: Tensor,
    residual: Tensor,
    gap: Tensor,
    n_iter: Tensor,
    tol: float,
    finite: Tensor,
    slots: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Makes the outputs of the LASSO op from dense solutions.

    Args:
        codes: ``[B, N]``.
        residual: ``[B, M]``.
        gap: ``[B]``; a signal has converged when it is at most ``tol``.
        n_iter: ``[B]``, int32.
        tol: Relative gap.
        finite: Which signals were finite, ``[B]``; the others get NaN and their status.
        slots: 0 for dense values, else how many slots.
    """
    status = torch.where(gap <= tol, int(Status.CONVERGED), int(Status.MAX_ITER))
    if slots == 0:
        indices = torch.empty((len(codes), 0), dtype=torch.int64, device=codes.device)
        values = codes
    else:
        indices, values, overflow = pack(codes, slots)
        status = status.masked_fill(overflow, int(Status.OVERFLOW))
    return (
        indices.where(finite[:, None], -1),
        values.where(finite[:, None], torch.nan),
        residual.where(finite[:, None], torch.nan),
        gap.where(finite, torch.nan),
        n_iter * finite,
        status.masked_fill(~finite, int(Status.NONFINITE)).to(torch.int32),
    )
