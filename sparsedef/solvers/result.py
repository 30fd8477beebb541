"""What every solver returns."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sparsedef.backends.base import Status
from sparsedef.backends.slots import unpack


class SparseCode(NamedTuple):
    """Codes with the residual and the proof of their quality, for B signals and N atoms.

    Attributes:
        codes: Dense codes ``[B, N]``; ``None`` when ``layout="compact"``.
        indices: Atoms of the nonzero codes ``[B, K]``, int64, unused slots -1; ``None`` when dense.
        values: Their codes ``[B, K]``, unused slots 0; ``None`` when dense.
        residual: ``x - codes @ dictionary``, ``[B, M]``.
        gap: Relative duality gap ``[B]``: the objective is at most ``gap * ||x||^2 / 2`` above its
            minimum. ``None`` for pursuits, which minimise nothing exactly.
        n_iter: Iterations (LASSO) or atoms chosen (OMP) ``[B]``, int32.
        status: How each signal ended, ``[B]``, int32; see :class:`sparsedef.Status`.
        backend: Who computed it.
        gradient: ``"implicit"``, ``"unrolled"``, ``"mixed"`` or ``"none"``: what backward will do.
        alpha: The penalty that each signal was coded with, ``[B]``; ``None`` for pursuits.
    """

    codes: Tensor | None
    indices: Tensor | None
    values: Tensor | None
    residual: Tensor
    gap: Tensor | None
    n_iter: Tensor
    status: Tensor
    backend: str
    gradient: str
    alpha: Tensor | None = None

    @property
    def is_converged(self) -> Tensor:
        """Which signals got the answer that was asked for, ``[B]``, bool."""
        return self.status == int(Status.CONVERGED)

    @property
    def n_nonzero(self) -> Tensor:
        """Nonzero codes per signal, ``[B]``."""
        values = self.codes if self.codes is not None else self.values
        assert values is not None
        return torch.count_nonzero(values, dim=1)

    def to_dense(self, n_atoms: int) -> Tensor:
        """Gives the codes as ``[B, N]`` whatever the layout; differentiable."""
        if self.codes is not None:
            return self.codes
        assert self.indices is not None
        assert self.values is not None
        return spread(self.indices, self.values, self.status, n_atoms)


def spread(indices: Tensor, values: Tensor, status: Tensor, n_atoms: int) -> Tensor:
    """Spreads slots over dense codes; signals without an answer are NaN throughout."""
    codes = unpack(indices, values, n_atoms)
    is_lost = status >= int(Status.NONFINITE)  # or OVERFLOW, the last ones
    return codes.masked_fill(is_lost[:, None], torch.nan)


def rescale(values: Tensor, factors: Tensor) -> Tensor:
    """Divides codes by positive ``factors``; rows without an answer give these no gradient."""
    is_lost = values.isnan()
    return (values.masked_fill(is_lost, 0) / factors).masked_fill(is_lost, torch.nan)
