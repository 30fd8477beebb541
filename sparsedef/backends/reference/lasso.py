"""Batched LASSO in plain torch: the entry that all three algorithms share."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.backends.base import Status
from sparsedef.backends.reference.lasso_proximal import proximal
from sparsedef.backends.slots import pack
from sparsedef.backends.working_set import active_set


def lasso(
    x: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    init: Tensor | None,
    nonnegative: bool,
    tol: float,
    max_iter: int,
    algorithm: str,
    slots: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Solves the LASSO of each signal; see ``sparsedef.lasso`` for the problem and the shapes."""
    finite = x.isfinite().all(dim=1)
    signals = x.where(finite[:, None], 0)
    if algorithm == "active_set":
        solved = active_set(signals, dictionary, alpha, init, nonnegative, tol, max_iter)
    else:
        is_fast = algorithm == "fista"
        solved = proximal(
            signals, dictionary, alpha, init, nonnegative, tol, max_iter, accelerated=is_fast
        )
    codes, residual, gap, n_iter = solved
    status = torch.full_like(n_iter, int(Status.MAX_ITER))
    status[gap <= tol] = int(Status.CONVERGED)
    return finish(codes, residual, gap, n_iter, status, finite, slots)


def finish(
    codes: Tensor,
    residual: Tensor,
    gap: Tensor,
    n_iter: Tensor,
    status: Tensor,
    finite: Tensor,
    slots: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gives dense solutions the layout that was asked for, and marks the signals with NaN."""
    status[~finite] = int(Status.NONFINITE)
    n_iter[~finite] = 0
    if slots == 0:
        indices = torch.empty((len(codes), 0), dtype=torch.int64, device=codes.device)
        values = codes
    else:
        indices, values, overflow = pack(codes, slots)
        status[overflow] = int(Status.OVERFLOW)
    keep = finite[:, None]
    return (
        indices,
        values.where(keep, torch.nan),
        residual.where(keep, torch.nan),
        gap.where(finite, torch.nan),
        n_iter,
        status,
    )
