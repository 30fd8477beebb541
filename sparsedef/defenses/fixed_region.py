"""Two regions of an image, each cleaned in its own way: joined, and held fixed for an attack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sparsedef.defenses.base import check_images

if TYPE_CHECKING:
    from sparsedef.defenses.regionsparse import RegionSparse


def two_regions(coded: Tensor, smoothed: Tensor, theta: Tensor) -> Tensor:
    """Joins what was made of the object with what was made of the background.

    ``theta * coded + (1 - theta) * smoothed``, pixel by pixel; with a bool ``theta`` each pixel is
    wholly from one of the two, and what the other holds there does not matter, NaN included.

    Args:
        coded: ``[B, C, H, W]``.
        smoothed: ``[B, C, H, W]``.
        theta: Where the object is, ``[B or 1, 1, H, W]``, bool or weights in [0, 1].

    Returns:
        Images ``[B, C, H, W]``.

    Gradients: exact for both; ``theta`` of weights gets one too.

    Example:
        >>> one, two = torch.ones(1, 1, 1, 3), torch.zeros(1, 1, 1, 3)
        >>> two_regions(one, two, torch.tensor([[[[1.0, 0.25, 0.0]]]])).flatten().tolist()
        [1.0, 0.25, 0.0]

    Source: the RegionSparse paper, equation 19.
    """
    if theta.dtype == torch.bool:
        return torch.where(theta, coded, smoothed)
    return theta * coded + (1 - theta) * smoothed


def check_region(region: Tensor, images: Tensor) -> Tensor:
    """Demands a region that fits images ``[B, C, H, W]``: bool, or weights in [0, 1]."""
    if not isinstance(region, Tensor) or not (
        region.dtype == torch.bool or region.is_floating_point()
    ):
        what = region.dtype if isinstance(region, Tensor) else type(region).__name__
        raise TypeError(f"region must be a bool or floating-point tensor, got {what}")
    n_images, _, height, width = images.shape
    if list(region.shape) not in ([n_images, 1, height, width], [1, 1, height, width]):
        raise ValueError(
            f"region must be [{n_images} or 1, 1, {height}, {width}] to match images "
            f"{list(images.shape)}, got {list(region.shape)}"
        )
    if region.is_floating_point() and not torch.compiler.is_compiling():
        low, high = region.detach().aminmax()
        if not (low >= 0 and high <= 1):
            raise ValueError(f"region must lie in [0, 1], got [{low:.4g}, {high:.4g}]")
    return region if region.dtype == torch.bool else region.to(images)


class FixedRegion(nn.Module):
    """A RegionSparse defense of one batch, whose region no attack can move.

    Not a defense but a means to attack one: pass it as ``gradient_model``. It classifies images
    ``[B, C, H, W]`` as the defense would if it found that region.

    Args:
        defense: Any ``RegionSparse``; shared, not copied.
        region: ``[B or 1, 1, H, W]``, bool or weights in [0, 1].
    """

    is_random = False
    has_exact_gradient = True
    region: Tensor

    def __init__(self, defense: RegionSparse, region: Tensor) -> None:
        """Keeps the two; see the class."""
        super().__init__()
        self.defense = defense
        self.register_buffer("region", region.detach())

    @property
    def classifier(self) -> nn.Module:
        """What classifies the cleaned images."""
        return self.defense.classifier

    def purify(self, images: Tensor) -> Tensor:
        """Cleans images ``[B, 3, H, W]`` with the region given."""
        return self.defense.purify(images, region=self.region)

    def forward(self, images: Tensor) -> Tensor:
        """Classifies images: logits ``[B, classes]``.

        Raises:
            TypeError: Images are not float32 or float64.
            ValueError: They are not ``[B, 3, H, W]`` in [0, 1], or not as many as the regions.
        """
        check_images(type(self).__name__, images)
        logits: Tensor = self.classifier(self.purify(images))
        return logits
