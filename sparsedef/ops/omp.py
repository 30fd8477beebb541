"""The OMP op: schema, fake kernel, gradient on the chosen support."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsedef.ops.library import attach_gradient, define
from sparsedef.ops.support_solve import support_solve


def _fake(
    x: Tensor,
    dictionary: Tensor,
    tol: Tensor,
    limits: Tensor | None,
    n_nonzero: int,
    selection: str,
    nonnegative: bool,
    max_memory: int,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    n_signals = x.shape[0]
    return (
        x.new_empty((n_signals, n_nonzero)),
        x.new_empty((n_signals, n_nonzero), dtype=torch.int64),
        torch.empty_like(x),
        x.new_empty((n_signals,), dtype=torch.int32),
        x.new_empty((n_signals,), dtype=torch.int32),
    )


omp: Any = define(
    "omp(Tensor x, Tensor dictionary, Tensor tol, Tensor? limits, SymInt n_nonzero,"
    " str selection, bool nonnegative, int max_memory, str backend)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _fake,
    values_first=True,
)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
    values, indices, residual, n_iter, status = output
    ctx.save_for_backward(inputs[1], indices, values, residual)
    ctx.mark_non_differentiable(indices, n_iter, status)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    dictionary, indices, values, residual = ctx.saved_tensors
    _, grad_x, grad_dictionary = support_solve(
        dictionary, indices, values, residual, None, grads[0], grads[2], ctx.needs_input_grad[1]
    )
    return (grad_x, grad_dictionary) + (None,) * 7


attach_gradient("omp", _backward, _setup_context)
