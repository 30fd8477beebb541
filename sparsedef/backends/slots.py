"""Dense codes to (indices, values) slots and back, and the outputs of the LASSO op from them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

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


@dataclass(frozen=True)
class Solved:
    """The outputs of the LASSO op, filled as signals are done; nothing here waits for the device.

    Attributes:
        n_atoms: N.
        indices: ``[B, slots]``; ``[B, 0]`` when dense.
        values: ``[B, slots]``, or dense ``[B, N]``.
        residual: ``[B, M]``.
        gap: ``[B]``.
        n_iter: ``[B]``, int32.
        status: ``[B]``, int32.
    """

    n_atoms: int
    indices: Tensor
    values: Tensor
    residual: Tensor
    gap: Tensor
    n_iter: Tensor
    status: Tensor

    @classmethod
    def empty(cls, x: Tensor, n_atoms: int, slots: int) -> Solved:
        """Makes room for B signals; 0 slots: dense values."""
        return cls(
            n_atoms,
            torch.full((len(x), slots), -1, dtype=torch.int64, device=x.device),
            x.new_zeros(len(x), slots or n_atoms),
            torch.empty_like(x),
            torch.empty_like(x[:, 0]),
            torch.zeros(len(x), dtype=torch.int32, device=x.device),
            torch.zeros(len(x), dtype=torch.int32, device=x.device),
        )

    def put(
        self,
        rows: Tensor,
        members: Tensor,
        codes: Tensor,
        residual: Tensor,
        gap: Tensor,
        done: int,
    ) -> None:
        """Takes in the signals ``rows`` ``[U]``, whose codes stand at ``members`` ``[U, W]``."""
        self.residual.index_copy_(0, rows, residual)
        self.gap.index_copy_(0, rows, gap)
        self.n_iter.index_fill_(0, rows, done)
        slots = self.indices.shape[1]
        if slots == 0:
            place = rows[:, None] * self.n_atoms + members.clamp_min(0)  # unused: code 0
            self.values.view(-1).scatter_add_(0, place.flatten(), codes.flatten())
            return
        is_on = codes != 0
        order = members.where(is_on, self.n_atoms).argsort(dim=1)
        room = slots - order.shape[1]
        values = pad(codes.gather(1, order), (0, room))
        indices = pad(members.where(is_on, -1).gather(1, order), (0, room), value=-1)
        overflow = is_on.sum(dim=1) > slots
        self.indices.index_copy_(0, rows, indices.masked_fill(overflow[:, None], -1))
        self.values.index_copy_(0, rows, values.masked_fill(overflow[:, None], torch.nan))
        self.status.index_copy_(0, rows, overflow.to(torch.int32) * int(Status.OVERFLOW))

    def close(self, part: slice, finite: Tensor, tol: float) -> None:
        """Says how the signals of ``part`` ended; those that are not ``finite`` become NaN."""
        status, bad = self.status[part], ~finite
        is_short = ~(self.gap[part] <= tol) & (status == int(Status.CONVERGED))
        status.masked_fill_(is_short, int(Status.MAX_ITER)).masked_fill_(bad, int(Status.NONFINITE))
        self.n_iter[part].masked_fill_(bad, 0)
        self.gap[part].masked_fill_(bad, torch.nan)
        for each, fill in (
            (self.indices, -1),
            (self.values, torch.nan),
            (self.residual, torch.nan),
        ):
            each[part].masked_fill_(bad[:, None], fill)

    def outputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Indices, values, residual, gap, n_iter and status."""
        return self.indices, self.values, self.residual, self.gap, self.n_iter, self.status
