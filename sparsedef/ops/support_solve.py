"""The op that carries gradients back through LASSO and OMP codes on their support."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsedef.backends import Problem, select_backend
from sparsedef.ops.library import define, refuse_gradient


def _fake(
    dictionary: Tensor,
    indices: Tensor,
    values: Tensor,
    residual: Tensor,
    ridge: Tensor | None,
    grad_values: Tensor,
    grad_residual: Tensor,
    needs_dictionary: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    rows = dictionary.shape[0] if needs_dictionary else 0
    return (
        torch.empty_like(values),
        torch.empty_like(residual),
        dictionary.new_empty((rows, dictionary.shape[1])),
    )


_support_solve: Any = define(
    "support_solve(Tensor dictionary, Tensor indices, Tensor values, Tensor residual,"
    " Tensor? ridge, Tensor grad_values, Tensor grad_residual, bool needs_dictionary, str backend)"
    " -> (Tensor, Tensor, Tensor)",
    _fake,
)


refuse_gradient("support_solve")


def support_solve(
    dictionary: Tensor,
    indices: Tensor,
    values: Tensor,
    residual: Tensor,
    ridge: Tensor | None,
    grad_values: Tensor | None,
    grad_residual: Tensor | None,
    needs_dictionary: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gives u, grad x and grad dictionary; the formulas are in the reference backend."""
    problem = Problem.of("support_solve", residual, dictionary)
    multiplier, grad_x, grad_dictionary = _support_solve(
        dictionary,
        indices,
        values,
        residual,
        ridge,
        torch.zeros_like(values) if grad_values is None else grad_values.contiguous(),
        torch.zeros_like(residual) if grad_residual is None else grad_residual.contiguous(),
        needs_dictionary,
        select_backend(problem),
    )
    return multiplier, grad_x, grad_dictionary if needs_dictionary else None
