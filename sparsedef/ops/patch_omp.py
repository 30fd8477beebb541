"""The patch coding op: schema, fake kernel, gradient on the chosen supports with the statistics."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsedef.backends import Problem, select_backend
from sparsedef.backends.patch_pipeline import Grid
from sparsedef.ops.library import attach_gradient, define, refuse_gradient


def _fake(
    images: Tensor,
    dictionary: Tensor,
    tol: float,
    mask: Tensor | None,
    n_nonzero: int,
    stride: int,
    standardize: str,
    selection: str,
    max_memory: int,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    shape = (images.shape[0], Grid.of(images, dictionary, stride).n_patches)
    return (
        images.new_empty((*shape, n_nonzero)),
        images.new_empty((*shape, n_nonzero), dtype=torch.int64),
        torch.empty_like(images, memory_format=torch.contiguous_format),
        images.new_empty(shape, dtype=torch.int32),
        images.new_empty(shape, dtype=torch.int32),
    )


patch_omp: Any = define(
    "patch_omp(Tensor images, Tensor dictionary, float tol, Tensor? mask, SymInt n_nonzero,"
    " int stride, str standardize, str selection, int max_memory, str backend)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _fake,
    values_first=True,
)


def _fake_solve(
    images: Tensor,
    dictionary: Tensor,
    mask: Tensor | None,
    indices: Tensor,
    values: Tensor,
    status: Tensor,
    grad_values: Tensor,
    grad_images: Tensor,
    stride: int,
    standardize: str,
    needs_dictionary: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    rows = dictionary.shape[0] if needs_dictionary else 0
    return (
        torch.empty_like(images, memory_format=torch.contiguous_format),
        dictionary.new_empty((rows, dictionary.shape[1])),
    )


_patch_support_solve: Any = define(
    "patch_support_solve(Tensor images, Tensor dictionary, Tensor? mask, Tensor indices,"
    " Tensor values, Tensor status, Tensor grad_values, Tensor grad_images, int stride,"
    " str standardize, bool needs_dictionary, str backend) -> (Tensor, Tensor)",
    _fake_solve,
)


refuse_gradient("patch_support_solve")


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
    images, dictionary, _, mask = inputs[:4]
    values, indices, _, n_iter, status = output
    ctx.save_for_backward(images, dictionary, mask, indices, values, status)
    ctx.stride, ctx.standardize = inputs[5], inputs[6]
    ctx.mark_non_differentiable(indices, n_iter, status)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    images, dictionary, mask, indices, values, status = ctx.saved_tensors
    n_signals = indices.shape[0] * indices.shape[1]
    sizes = (n_signals, dictionary.shape[1], dictionary.shape[0])
    problem = Problem("patch_support_solve", *sizes, images.dtype, images.device)
    grad_images, grad_dictionary = _patch_support_solve(
        images,
        dictionary,
        mask,
        indices,
        values,
        status,
        torch.zeros_like(values) if grads[0] is None else grads[0].contiguous(),
        torch.zeros_like(images) if grads[2] is None else grads[2].contiguous(),
        ctx.stride,
        ctx.standardize,
        ctx.needs_input_grad[1],
        select_backend(problem),
    )
    return (grad_images, grad_dictionary if ctx.needs_input_grad[1] else None) + (None,) * 8


attach_gradient("patch_omp", _backward, _setup_context)
