"""What ``lasso`` does after a first pass that could not serve every signal."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.nn.functional import pad

from sparsedef import ops
from sparsedef.backends import Status
from sparsedef.backends.certificate import relative_gap
from sparsedef.backends.slots import pack

Inputs = tuple[Tensor, Tensor, Tensor, "Tensor | None"]  # x, dictionary, alpha, init
Settings = tuple[bool, float, int, str]  # nonnegative, tol, max_iter, algorithm
Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def unroll(inputs: Inputs, settings: Settings) -> Outputs:
    """Takes ``max_iter`` recorded steps; the certificate is computed beside the graph."""
    x, dictionary, alpha, _ = inputs
    nonnegative, tol, max_iter, algorithm = settings
    codes = ops.lasso_unrolled(*inputs, nonnegative, max_iter, accelerated=algorithm == "fista")
    residual = x - codes @ dictionary
    with torch.no_grad():
        gap = relative_gap(x, residual, codes, residual @ dictionary.mT, alpha, nonnegative)
        n_iter = torch.full_like(gap, max_iter, dtype=torch.int32)
        status = torch.full_like(n_iter, int(Status.MAX_ITER))
        status = status.masked_fill(gap <= tol, int(Status.CONVERGED))
        status = status.masked_fill(~x.isfinite().all(dim=1), int(Status.NONFINITE))
    indices = torch.empty((x.shape[0], 0), dtype=torch.int64, device=x.device)
    return codes, indices, residual, gap, n_iter, status


def unroll_uncertified(inputs: Inputs, settings: Settings, outputs: Outputs) -> tuple[Outputs, str]:
    """Gives signals whose gap is not certified the gradient of the steps that were taken."""
    status = outputs[5]
    rows = (status == int(Status.MAX_ITER)).nonzero()[:, 0]
    if len(rows) == 0:
        return outputs, "implicit"
    if settings[3] == "active_set":
        warnings.warn(
            f"lasso: {len(rows)} of {len(status)} signals are not certified at"
            f" tol={settings[1]:g}; their implicit gradient is approximate (raise max_iter or tol)",
            stacklevel=3,
        )
        return outputs, "implicit"
    again = unroll(_of_rows(inputs, rows), settings)
    codes, indices, residual, gap, n_iter, status = (
        old.index_copy(0, rows, new) if old.numel() else old  # dense: there are no indices
        for old, new in zip(outputs, again, strict=True)
    )
    return (codes, indices, residual, gap, n_iter, status), "mixed"


def refit_overflow(inputs: Inputs, settings: Settings, backend: str, outputs: Outputs) -> Outputs:
    """Solves signals whose support outgrew min(M, N) slots again, with as many as they need."""
    rows = (outputs[5] == int(Status.OVERFLOW)).nonzero()[:, 0]
    if len(rows) == 0:
        return outputs
    x, dictionary, alpha, init = _of_rows(inputs, rows)
    codes, _, *again = ops.lasso(
        x, dictionary, alpha, None, init, *settings, False, 0, 0, backend
    )
    width = max(int(torch.count_nonzero(codes, dim=1).amax()), outputs[0].shape[1])
    indices, _, _ = pack(codes.detach(), width)
    values = codes.gather(1, indices.clamp_min(0)).where(indices >= 0, 0)
    more = width - outputs[0].shape[1]
    wide = (pad(outputs[0], (0, more)), pad(outputs[1], (0, more), value=-1), *outputs[2:])
    values, indices, residual, gap, n_iter, status = (
        old.index_copy(0, rows, new)
        for old, new in zip(wide, (values, indices, *again), strict=True)
    )
    return values, indices, residual, gap, n_iter, status


def _of_rows(inputs: Inputs, rows: Tensor) -> Inputs:
    x, dictionary, alpha, init = inputs
    return x[rows], dictionary, alpha[rows], None if init is None else init[rows]
