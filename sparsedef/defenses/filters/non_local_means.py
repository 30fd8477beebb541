"""Non-local means: averages pixels whose surroundings look alike."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def non_local_means(
    images: Tensor, *, strength: float = 10 / 255, template: int = 7, search: int = 21
) -> Tensor:
    """Replaces each pixel by a mean over a search window, weighted by likeness of surroundings.

    Weight: ``exp(-d / strength^2)``, ``d`` the mean squared difference of the two ``template`` x
    ``template`` surroundings over all channels; edges are mirrored.

    Args:
        images: ``[B, C, H, W]``.
        strength: Filter strength ``h``, in units of ``images``.
        template: Side of the compared surroundings, odd.
        search: Side of the search window, odd.

    Returns:
        Smoothed images ``[B, C, H, W]``.

    Raises:
        ValueError: A window is even or larger than the images allow, or ``strength`` not above 0.

    Gradients: exact, through the weights too.

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
    for down in range(search):
        for right in range(search):
            neighbour = padded[..., down : down + height, right : right + width]
            squared = (neighbour - images).square().mean(1, keepdim=True)
            weight = torch.exp(-_box_mean(squared, template) / strength**2)
            total = total + weight * neighbour
            norm = norm + weight
    return total / norm


def _box_mean(values: Tensor, side: int) -> Tensor:
    """Mean over a ``side`` x ``side`` window, edges mirrored, ``[B, 1, H, W]`` to the same."""
    padded = functional.pad(values, (side // 2,) * 4, mode="reflect")
    return functional.avg_pool2d(padded, side, stride=1)
