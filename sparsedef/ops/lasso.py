"""The LASSO op: schema, fake kernel, implicit gradient; and its unrolled twin."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsedef.backends.reference.lasso_proximal import unrolled as lasso_unrolled
from sparsedef.ops.library import attach_gradient, define
from sparsedef.ops.support_solve import support_solve

__all__ = ["lasso", "lasso_unrolled"]


def _fake(
    x: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    ridge: Tensor | None,
    init: Tensor | None,
    nonnegative: bool,
    tol: float,
    max_iter: int,
    algorithm: str,
    allow_tf32: bool,
    slots: int,
    max_memory: int,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    n_signals = x.shape[0]
    return (
        x.new_empty((n_signals, slots if slots != 0 else dictionary.shape[0])),
        x.new_empty((n_signals, slots), dtype=torch.int64),
        torch.empty_like(x),
        torch.empty_like(alpha),
        x.new_empty((n_signals,), dtype=torch.int32),
        x.new_empty((n_signals,), dtype=torch.int32),
    )


lasso: Any = define(
    "lasso(Tensor x, Tensor dictionary, Tensor alpha, Tensor? ridge, Tensor? init,"
    " bool nonnegative, float tol, int max_iter, str algorithm, bool allow_tf32, SymInt slots,"
    " int max_memory, str backend) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _fake,
    values_first=True,
)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
    values, indices, residual, gap, n_iter, status = output
    ctx.save_for_backward(inputs[1], inputs[3], indices, values, residual)
    ctx.mark_non_differentiable(indices, gap, n_iter, status)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    dictionary, ridge, indices, values, residual = ctx.saved_tensors
    multiplier, grad_x, grad_dictionary = support_solve(
        dictionary, indices, values, residual, ridge, grads[0], grads[2], ctx.needs_input_grad[1]
    )
    # A signal without an answer has NaN codes: its multiplier is 0, so must its products be.
    is_known = ~values.isnan()
    grad_alpha = torch.where(is_known, -multiplier * values.sign(), 0).sum(dim=1)
    grad_ridge = None
    if ctx.needs_input_grad[3]:
        each = torch.where(is_known, -multiplier * values, 0)
        if indices.shape[1] == 0:
            grad_ridge = each.sum(dim=0)
        else:
            place = indices.clamp_min(0).flatten()  # unused slots add 0
            grad_ridge = torch.zeros_like(ridge).index_add(0, place, each.flatten())
    return (grad_x, grad_dictionary, grad_alpha, grad_ridge) + (None,) * 9


attach_gradient("lasso", _backward, _setup_context)
