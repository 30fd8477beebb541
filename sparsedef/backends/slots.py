"""Dense codes to (indices, values) slots and back."""

from __future__ import annotations

import torch
from torch import Tensor


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
