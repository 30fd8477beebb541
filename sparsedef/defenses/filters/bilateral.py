"""Bilateral filter: smooths images but not across edges; differentiable."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# numbers in images that are filtered together on a CPU: what lies between stays in cache
AT_ONCE = 2**18


def bilateral_filter(
    images: Tensor, *, size: int = 5, sigma_color: float = 25 / 255, sigma_space: float = 2.0
) -> Tensor:
    """Replaces each pixel by the mean of its neighbours, weighted by nearness in space and colour.

    Weight of a neighbour: ``exp(-d_space^2 / (2 sigma_space^2) - d_color^2 / (2 sigma_color^2))``
    with Euclidean distances, colour over all channels; edges are mirrored.

    Args:
        images: ``[B, C, H, W]``.
        size: Side of the square window, odd, at most ``2 * min(H, W) - 1``.
        sigma_color: Colour distance that still counts as alike, in units of ``images``.
        sigma_space: Spatial reach in pixels.

    Returns:
        Filtered images ``[B, C, H, W]``.

    Raises:
        ValueError: ``size`` is even or does not fit, or a sigma is not above zero.

    Gradients: exact, through the weights too.

    Example:
        >>> flat = torch.full((1, 3, 8, 8), 0.5)
        >>> bool(torch.allclose(bilateral_filter(flat), flat))
        True

    Source: Tomasi, Manduchi, 1998.
    """
    height, width = images.shape[-2:]
    if size < 1 or size % 2 == 0 or size // 2 >= min(height, width):
        raise ValueError(
            f"bilateral_filter: size must be odd and at most {2 * min(height, width) - 1} for "
            f"{height} x {width} images, got {size}"
        )
    if not (sigma_color > 0 and sigma_space > 0):
        raise ValueError(
            f"bilateral_filter: sigma_color and sigma_space must be > 0, "
            f"got {sigma_color} and {sigma_space}"
        )
    if images.device.type != "cpu" or len(images) == 0:
        return _filter(images, size, sigma_color, sigma_space)
    parts = images.split(max(1, AT_ONCE // images[0].numel()))
    return torch.cat([_filter(part, size, sigma_color, sigma_space) for part in parts])


def _filter(images: Tensor, size: int, sigma_color: float, sigma_space: float) -> Tensor:
    height, width = images.shape[-2:]
    reach = size // 2
    padded = functional.pad(images, (reach,) * 4, mode="reflect")
    total, norm = torch.zeros_like(images), torch.zeros_like(images[:, :1])
    # one shift at a time: size^2 images of extra memory at most for autograd, none without it
    for down in range(size):
        for right in range(size):
            neighbour = padded[..., down : down + height, right : right + width]
            far = ((down - reach) ** 2 + (right - reach) ** 2) / (2 * sigma_space**2)
            unlike = (neighbour - images).square().sum(1, keepdim=True)
            # below 2e-22 a weight is nothing beside the 1 of the pixel itself, but slow to compute
            weight = (unlike * (-1 / (2 * sigma_color**2)) - far).clamp_min(-50).exp()
            total = torch.addcmul(total, weight, neighbour)
            norm = norm + weight
    return total / norm
