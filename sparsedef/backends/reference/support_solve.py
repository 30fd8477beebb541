"""The gradient of a sparse code on its support: one small linear system per signal."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.backends.slots import positions

_CHUNK = 1 << 24  # numbers in the largest temporary, [B, K, M]


def support_solve(
    dictionary: Tensor,
    indices: Tensor,
    values: Tensor,
    residual: Tensor,
    ridge: Tensor | None,
    grad_values: Tensor,
    grad_residual: Tensor,
    needs_dictionary: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Carries gradients from codes and residual back to signals and dictionary.

    While the support S and the signs s stay as they are, LASSO and OMP codes both are

        z_S = (D_S D_S^T + diag(ridge_S))^-1 (D_S x - alpha s),   r = x - z D

    (alpha = 0 and no ridge for OMP). With g_z, g_r the incoming gradients and
    u = (D_S D_S^T + diag(ridge_S))^-1 (g_z[S] - D_S g_r):

        grad x = g_r + u D_S,   grad D_S = u (x) r - z_S (x) grad x,
        grad alpha = -s . u,    grad ridge_S = -u z_S (summed over the signals).

    A support that is singular in working precision gets a damping of ``1e-6`` (float32) or
    ``1e-12`` (float64) times its largest squared norm, ten times more until the factorisation
    succeeds, so the result is always finite. Signals with NaN get no gradient and give none to
    the dictionary.

    Args:
        dictionary: ``[N, M]``.
        indices: ``[B, K]`` (unused: -1), or ``[B, 0]`` when ``values`` is dense.
        values: ``[B, K]`` or dense ``[B, N]``.
        residual: ``[B, M]``.
        ridge: ``[N]``, or ``None`` for 0.
        grad_values: Like ``values``.
        grad_residual: Like ``residual``.
        needs_dictionary: Whether the gradient for the dictionary is wanted.

    Returns:
        u (like ``values``, 0 off the support), grad x ``[B, M]``, and grad dictionary ``[N, M]``
        (``[0, M]`` when it is not wanted).
    """
    finite = residual.isfinite().all(dim=1)
    is_dense = indices.shape[1] == 0 and values.shape[1] > 0
    is_used = ((values != 0) if is_dense else (indices >= 0)) & finite[:, None]
    rows, columns, place = positions(is_used)
    width = int(place.max()) + 1 if len(place) else 0
    support = torch.full((len(values), width), -1, device=values.device)
    support[rows, place] = columns if is_dense else indices[rows, columns]
    code = values.new_zeros(len(values), width)
    code[rows, place] = values[rows, columns]
    grad_code = values.new_zeros(len(values), width)
    grad_code[rows, place] = grad_values[rows, columns]

    residual = residual.where(finite[:, None], 0)
    grad_residual = grad_residual.where(finite[:, None], 0)
    grad_x = torch.empty_like(residual)
    grad_dictionary = torch.zeros_like(dictionary[: len(dictionary) if needs_dictionary else 0])
    solution = torch.empty_like(code)
    step = max(1, _CHUNK // max(width * residual.shape[1], 1))
    for start in range(0, len(values), step):
        part = slice(start, start + step)
        is_slot = support[part] >= 0
        atoms = dictionary[support[part].clamp_min(0)]
        if not is_slot.all():
            atoms = atoms * is_slot[:, :, None]
        right = grad_code[part] - torch.einsum("bkm,bm->bk", atoms, grad_residual[part])
        gram = atoms @ atoms.mT
        if ridge is not None:
            gram.diagonal(dim1=1, dim2=2).add_(ridge[support[part].clamp_min(0)] * is_slot)
        solution[part] = _solve(gram, right.where(is_slot, 0), is_slot)
        grad_x[part] = grad_residual[part] + torch.einsum("bk,bkm->bm", solution[part], atoms)
        if needs_dictionary:
            outer = solution[part][:, :, None] * residual[part][:, None]
            outer -= code[part][:, :, None] * grad_x[part][:, None]
            grad_dictionary.index_add_(0, support[part][is_slot], outer[is_slot])

    multiplier = torch.zeros_like(values)
    multiplier[rows, columns] = solution[rows, place]
    return multiplier, grad_x, grad_dictionary


def _solve(gram: Tensor, right: Tensor, is_slot: Tensor) -> Tensor:
    """Solves the systems ``[B, K, K]``; unused slots are made identity rows."""
    if gram.shape[1] == 0 or len(gram) == 0:
        return torch.zeros_like(right)
    gram = gram + torch.diag_embed((~is_slot).to(gram.dtype))
    largest = gram.diagonal(dim1=1, dim2=2).amax(dim=1)
    damping = 1e-12 if gram.dtype == torch.float64 else 1e-6
    smallest = damping / 2 * largest
    while True:
        factor, info = torch.linalg.cholesky_ex(gram)
        pivot = factor.diagonal(dim1=1, dim2=2).square().amin(dim=1)
        is_singular = (info > 0) | ~(pivot > smallest)
        if not is_singular.any():
            return torch.cholesky_solve(right[:, :, None], factor)[:, :, 0]
        gram = gram + torch.diag_embed((damping * largest * is_singular)[:, None].expand_as(right))
        damping *= 10
