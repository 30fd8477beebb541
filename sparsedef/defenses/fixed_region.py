"""Two regions of an image, each cleaned in its own way: joined, and held fixed for an attack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.defenses.base import check_images
from sparsedef.ops.library import is_traced

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
    if region.is_floating_point() and not is_traced(region):
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


class MovedRegion(nn.Module):
    """What to differentiate in order to push a RegionSparse defense's region off its object.

    Not a defense but a means to attack one: pass it as ``gradient_model``. Its logits are those of
    the defense if it coded nothing and smoothed all, with ``weight * lift`` taken off the true
    class's, where ``lift`` is the ``region_margin`` of a decoy minus that of the clean region. An
    attack that lowers the true class so fools the classifier behind the filter and moves the
    region away, both at once. The decoy is the corner, a third of the side, that the region covers
    least: raised all around, the margin only makes the region grow.

    Args:
        defense: Any ``RegionSparse``; shared, not copied.
        region: Where it finds the object on the clean images, ``[B, 1, H, W]`` bool.
        labels: True classes, ``[B]`` int64.
        weight: Of the region against the logits.
    """

    is_random = False
    has_exact_gradient = True
    region: Tensor
    decoy: Tensor
    labels: Tensor

    def __init__(
        self, defense: RegionSparse, region: Tensor, labels: Tensor, weight: float = 10.0
    ) -> None:
        """Keeps them; see the class."""
        super().__init__()
        self.defense = defense
        self.weight = weight
        decoy = _least_covered_corner(region.detach())
        self.register_buffer("decoy", decoy)
        self.register_buffer("region", region.detach() & ~decoy)
        self.register_buffer("labels", labels.detach())

    def forward(self, images: Tensor) -> Tensor:
        """Gives the logits ``[B, classes]`` to climb; what the defense says is another matter."""
        uncoded = self.defense.with_region(torch.zeros_like(self.region[:1]))
        logits: Tensor = uncoded(images)
        lift = self.defense.region_margin(images, self.decoy)
        lift = lift - self.defense.region_margin(images, self.region)
        return (
            logits - self.weight * functional.one_hot(self.labels, logits.shape[1]) * lift[:, None]
        )


def _least_covered_corner(region: Tensor) -> Tensor:
    """Paints, per image, the corner, a third of the side, that ``region`` covers least."""
    height, width = (side // 3 for side in region.shape[-2:])
    corners = region.new_zeros((4, 1, *region.shape[-2:]))
    for corner, rows, columns in zip(
        corners,
        (slice(height), slice(height), slice(-height, None), slice(-height, None)),
        (slice(width), slice(-width, None), slice(width), slice(-width, None)),
        strict=True,
    ):
        corner[:, rows, columns] = True
    covered = (region[:, None] & corners).flatten(2).sum(2)
    return corners[covered.argmin(dim=1)]
