"""The gradient of patch coding, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from sparsedef.backends.base import Status
from sparsedef.backends.patch_pipeline import (
    STD_FLOOR,
    Grid,
    images_at_once,
    standardize_patches,
)
from sparsedef.backends.reference.support_solve import support_solve


def patch_support_solve(
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
) -> tuple[Tensor, Tensor]:
    """Carries gradients from codes and rebuilt images back to images and dictionary.

    Per patch p, with standard s = (p - m) / sigma, codes z by least squares on the chosen atoms,
    f = z D and rebuilt y = f sigma + m. The gradient g_y of y is what the averaging passes on,
    g_f = g_y sigma, and the support hands (g_z, -g_f) for (z, s - f) back as h, so that

        g_s = g_f + h,   g_p = g_s / sigma,
        g_m = sum (g_y - g_s / sigma),   g_sigma = sum (g_y f - g_s s / sigma),

    summed over what shares m and sigma. A mean over M numbers gives g_m / M to each; z-scores over
    n patches give (g_m + g_sigma s) / n to each, the second term only where sigma is not at its
    floor. Patches with NaN get no gradient and give none. The patches are cut anew from the
    images, a few images at a time.

    Args:
        images: ``[B, C, H, W]``.
        dictionary: ``[N, M]``.
        mask: ``[B, H, W]`` or ``None``.
        indices: ``[B, P, K]``.
        values: ``[B, P, K]``.
        status: ``[B, P]``.
        grad_values: ``[B, P, K]``.
        grad_images: ``[B, C, H, W]``.
        stride: Pixels between patches.
        standardize: As in the forward pass.
        needs_dictionary: Whether the gradient for the dictionary is wanted.

    Returns:
        grad images ``[B, C, H, W]`` and grad dictionary ``[N, M]`` (``[0, M]`` if not wanted).
    """
    grid = Grid.of(images, dictionary, stride)
    most = images_at_once(images, grid, 0)
    grad = torch.empty_like(images, memory_format=torch.contiguous_format)
    grad_dictionary = torch.zeros_like(dictionary[: len(dictionary) if needs_dictionary else 0])
    for start in range(0, len(images), most):
        part = slice(start, start + most)
        inside = None if mask is None else mask[part, None]
        is_coded = None if mask is None else grid.covers(mask[part])
        patches = grid.cut(images[part])
        standard, _, scale = standardize_patches(patches, standardize, is_coded)
        is_live = status[part] != int(Status.NONFINITE)
        is_live = is_live if is_coded is None else is_live & is_coded
        incoming = grad_images[part] if inside is None else grad_images[part].where(inside, 0)
        grad_rebuilt = grid.cut(incoming / grid.count(incoming))
        grad_rebuilt = grad_rebuilt.where(is_live[:, :, None], 0)
        standard = standard.where(is_live[:, :, None], 0)
        scale = scale.where(scale.isfinite(), 1)

        # a patch that gets no gradient hands none on but for its share of the statistics
        is_asked = is_live & (grad_rebuilt.any(dim=2) | grad_values[part].any(dim=2))
        rows = is_asked.flatten().nonzero()[:, 0]
        support, code = indices[part].flatten(0, 1)[rows], values[part].flatten(0, 1)[rows]
        is_slot = support >= 0
        code = code.where(is_slot, 0)
        fit = embedding_bag(support.clamp_min(0), dictionary, per_sample_weights=code, mode="sum")
        grad_fit = (grad_rebuilt * scale).flatten(0, 1)[rows]
        _, back, part_dictionary = support_solve(
            dictionary,
            support,
            code,
            standard.flatten(0, 1)[rows] - fit,
            None,
            grad_values[part].flatten(0, 1)[rows],
            -grad_fit,
            needs_dictionary,
        )
        grad_dictionary += part_dictionary
        nothing = standard.new_zeros(standard.shape).flatten(0, 1)
        fit = nothing.index_copy(0, rows, fit).view_as(standard)
        grad_standard = nothing.index_copy_(0, rows, grad_fit + back).view_as(standard)
        grad_patches = _through_statistics(
            grad_rebuilt, grad_standard, standard, fit, scale, standardize, is_live
        )
        grad[part] = grid.add_up(grad_patches)
        if inside is not None:
            grad[part] += grad_images[part].where(~inside, 0)
    return grad, grad_dictionary


def _through_statistics(
    grad_rebuilt: Tensor,
    grad_standard: Tensor,
    standard: Tensor,
    fit: Tensor,
    scale: Tensor,
    standardize: str,
    is_live: Tensor,
) -> Tensor:
    grad_patches = grad_standard / scale
    if standardize == "none":
        return grad_patches
    if standardize == "mean":
        return grad_patches + (grad_rebuilt - grad_patches).mean(dim=2, keepdim=True)
    n_live = is_live.sum(dim=1).clamp_min(1)[:, None, None]
    grad_shift = (grad_rebuilt - grad_patches).sum(dim=1, keepdim=True)
    grad_scale = (grad_rebuilt * fit - grad_patches * standard).sum(dim=1, keepdim=True)
    grad_scale = grad_scale.where(scale > (1 + 1e-6) * STD_FLOOR, 0)
    share = (grad_shift + grad_scale * standard) / n_live
    return grad_patches + share.where(is_live[:, :, None], 0)
