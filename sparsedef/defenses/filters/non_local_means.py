"""Non-local means: averages pixels whose surroundings look alike."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sparsedef.defenses.filters.box_mean import box_mean
from sparsedef.defenses.filters.recompute import recomputed

# images that autograd keeps per shift
KEPT_PER_SHIFT = 3


def non_local_means(
    images: Tensor,
    *,
    strength: float = 10 / 255,
    template: int = 7,
    search: int = 21,
    is_gaussian: bool = False,
) -> Tensor:
    """Replaces each pixel by a mean over a search window, weighted by likeness of surroundings.

    Weight: ``exp(-d / strength^2)``, ``d`` the mean squared difference of the two ``template`` x
    ``template`` surroundings over all channels; edges are mirrored.

    Args:
        images: ``[B, C, H, W]``.
        strength: Filter strength ``h``, in units of ``images``.
        template: Side of the compared surroundings, odd.
        search: Side of the search window, odd.
        is_gaussian: Take the mean within the surroundings with Gaussian weights of standard
            deviation ``(template - 1) / 4`` pixels, as the source does; otherwise all count alike.

    Returns:
        Smoothed images ``[B, C, H, W]``.

    Raises:
        ValueError: A window is even or larger than the images allow, or ``strength`` not above 0.

    Gradients: exact, through the weights too. Memory is bounded: for large images each row of
    shifts is computed again in the backward pass.

    Source: Buades, Coll, Morel, 2005.
    """
    height, width = images.shape[-2:]
    for name, side in (("template", template), ("search", search)):
        if side < 1 or side % 2 == 0 or side // 2 >= min(height, width):
            raise ValueError(
                f"non_local_means: {name} must be odd and at most {2 * min(height, width) - 1} "
                f"for {height} x {width} images, got {side}"
            )
    if not strength > 0:
        raise ValueError(f"non_local_means: strength must be > 0, got {strength}")
    reach = search // 2
    padded = functional.pad(images, (reach,) * 4, mode="reflect")
    total, norm = torch.zeros_like(images), torch.zeros_like(images[:, :1])

    def add_row(band: Tensor, images: Tensor, total: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
        """Adds the shifts along one row; ``band`` ``[B, C, H, W + search - 1]``."""
        for right in range(search):
            neighbour = band[..., right : right + width]
            squared = (neighbour - images).square().mean(1, keepdim=True)
            unlike = (_gaussian_mean if is_gaussian else box_mean)(squared, template)
            # below 2e-22 a weight is nothing beside the 1 of the pixel itself, but slow to compute
            weight = (unlike * (-1 / strength**2)).clamp_min(-50).exp()
            total = torch.addcmul(total, weight, neighbour)
            norm = norm + weight
        return total, norm

    kept = KEPT_PER_SHIFT * search**2 * images.numel()
    for down in range(search):
        band = padded[..., down : down + height, :]
        total, norm = recomputed(add_row, band, images, total, norm, kept=kept)
    return total / norm


def _gaussian_mean(values: Tensor, side: int) -> Tensor:
    """Mean over a ``side`` x ``side`` window with Gaussian weights, edges mirrored."""
    if side == 1:
        return values
    place = torch.arange(side, device=values.device, dtype=values.dtype) - side // 2
    bell = torch.exp(-place.square() / (2 * ((side - 1) / 4) ** 2))
    bell = bell / bell.sum()
    padded = functional.pad(values, (side // 2,) * 4, mode="reflect")
    return functional.conv2d(
        functional.conv2d(padded, bell.view(1, 1, 1, -1)), bell.view(1, 1, -1, 1)
    )
