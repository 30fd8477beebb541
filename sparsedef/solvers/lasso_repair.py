"""What ``lasso`` does after a first pass that could not serve every signal."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.nn.functional import pad

from sparsedef import ops
from sparsedef.backends import Status
from sparsedef.backends.certificate import relative_gap
from sparsedef.ops.library import as_given, is_traced
from sparsedef.solvers.lasso_inputs import Inputs, Outputs, Settings


def unroll(inputs: Inputs, settings: Settings) -> Outputs:
    """Takes ``max_iter`` recorded steps; the certificate is computed beside the graph."""
    x, dictionary, alpha, ridge, _ = inputs
    nonnegative, max_iter = settings.nonnegative, settings.max_iter
    is_fast = settings.algorithm == "fista"
    with as_given(x.device):
        codes = ops.lasso_unrolled(*inputs, nonnegative, max_iter, accelerated=is_fast)
        residual = x - codes @ dictionary
    with torch.no_grad(), as_given(x.device):
        correlations = residual @ dictionary.mT
        gap = relative_gap(x, residual, codes, correlations, alpha, nonnegative, ridge)
        n_iter = torch.full_like(gap, max_iter, dtype=torch.int32)
        status = torch.full_like(n_iter, int(Status.MAX_ITER))
        status = status.masked_fill(gap <= settings.tol, int(Status.CONVERGED))
        status = status.masked_fill(~x.isfinite().all(dim=1), int(Status.NONFINITE))
    indices = torch.empty((x.shape[0], 0), dtype=torch.int64, device=x.device)
    return codes, indices, residual, gap, n_iter, status


def unroll_uncertified(inputs: Inputs, settings: Settings, outputs: Outputs) -> tuple[Outputs, str]:
    """Gives signals whose gap is not certified the gradient of the steps that were taken."""
    status = outputs[5]
    rows = (status == int(Status.MAX_ITER)).nonzero()[:, 0]
    if len(rows) == 0:
        return outputs, "implicit"
    if settings.algorithm == "active_set":
        warnings.warn(
            f"lasso: {len(rows)} of {len(status)} signals are not certified at"
            f" tol={settings.tol:g}: their implicit gradient is inexact (raise max_iter or tol)",
            stacklevel=4,
        )
        return outputs, "implicit"
    again = unroll(inputs.of_rows(rows), settings)
    codes, indices, residual, gap, n_iter, status = (
        old.index_copy(0, rows, new) if old.numel() else old  # dense: there are no indices
        for old, new in zip(outputs, again, strict=True)
    )
    return (codes, indices, residual, gap, n_iter, status), "mixed"


def refit_overflow(
    inputs: Inputs, settings: Settings, outputs: Outputs, max_memory: int, backend: str
) -> Outputs:
    """Solves signals whose support outgrew the slots again, with twice as many until it fits."""
    n_atoms = inputs.dictionary.shape[0]
    slots = outputs[0].shape[1]
    while slots < n_atoms:
        rows = (outputs[5] == int(Status.OVERFLOW)).nonzero()[:, 0]
        if len(rows) == 0:
            break
        slots = min(n_atoms, 2 * slots)
        again = ops.lasso(*inputs.of_rows(rows), *settings, slots, max_memory, backend)
        values, indices, residual, gap, n_iter, status = (
            old.index_copy(0, rows, new)
            for old, new in zip(widen(outputs, slots), again, strict=True)
        )
        outputs = values, indices, residual, gap, n_iter, status
    return outputs


def widen(outputs: Outputs, slots: int) -> Outputs:
    """Adds unused slots to compact outputs, ``slots`` in all."""
    more = slots - outputs[0].shape[1]
    values, indices = pad(outputs[0], (0, more)), pad(outputs[1], (0, more), value=-1)
    return values, indices, *outputs[2:]


def join(parts: list[Outputs]) -> Outputs:
    """Lays the outputs for consecutive signals one after the other."""
    if len(parts) == 1:
        return parts[0]
    is_compact = all(part[1].shape[1] for part in parts)
    slots = max(part[0].shape[1] for part in parts)
    parts = [widen(part, slots) if is_compact else part for part in parts]
    values, indices, residual, gap, n_iter, status = (
        torch.cat(each) for each in zip(*parts, strict=True)
    )
    return values, indices, residual, gap, n_iter, status


def trim(outputs: Outputs) -> tuple[Tensor, Tensor]:
    """Indices and values of compact outputs, as wide as the largest support."""
    values, indices = outputs[:2]
    if is_traced(values):
        return indices, values
    width = int((indices >= 0).sum(dim=1).amax()) if len(indices) else 0
    return indices[:, :width].contiguous(), values[:, :width].contiguous()
