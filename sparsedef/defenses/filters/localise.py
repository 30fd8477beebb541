"""Where the object is: gradients, threshold, morphology and the largest blob or its box."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sparsedef.defenses.filters.blobs import dilate, erode, fill_holes, largest_blob
from sparsedef.defenses.filters.box_mean import box_mean
from sparsedef.solvers.checks import check_choice

LUMA = (0.299, 0.587, 0.114)
BINS = 256
REGIONS = ("box", "contour")


@dataclass(frozen=True)
class Localiser:
    """Finds one region per image around what has strong horizontal gradients.

    grey -> Scharr ``|Gx - Gy|``, saturated at 1 -> box blur -> Otsu threshold -> closing ->
    erosion and dilation -> largest 8-connected blob. The region is its axis-aligned bounding box,
    padded, or the blob itself, its holes filled and its contour moved outwards. Where the blob
    covers less than 5% or more than 95% of the image, a centre box stands in.

    Args:
        blur: Side of the box blur, odd.
        closing: Side of the closing's square, odd.
        opening: Rounds of 3 x 3 erosion, then as many of dilation.
        padding: Added to the box on each side, as a share of the box's side.
        margin: Added to the contour all around, in pixels.
        fallback: Side of the centre box, as a share of the image's side.
    """

    blur: int = 9
    closing: int = 25
    opening: int = 4
    padding: float = 0.05
    margin: int = 4
    fallback: float = 0.75

    @classmethod
    def for_size(cls, side: int) -> Localiser:
        """Scales the windows, meant for 299 pixels, to images of ``side`` pixels."""
        scale = side / 299
        return cls(
            blur=max(3, 2 * round(9 * scale / 2) + 1),
            closing=max(3, 2 * round(25 * scale / 2) + 1),
            opening=round(4 * scale),
            margin=max(1, round(4 * scale)),
        )

    def strength(self, images: Tensor) -> Tensor:
        """Maps how strongly each pixel speaks for an object: the blurred gradient, ``[B, H, W]``.

        Differentiable, unlike what is made of it: an attack on the region climbs this.
        """
        return box_mean(_scharr(images), self.blur)[:, 0]

    @torch.no_grad()
    def threshold(self, strength: Tensor) -> Tensor:
        """Says which ``strength`` ``[B, H, W]`` is strong enough, by image, ``[B, 1, 1]``."""
        return _otsu(strength)

    @torch.no_grad()
    def boxes(self, images: Tensor) -> Tensor:
        """Finds the boxes of ``[B, 3, H, W]``: top, left, bottom, right, ends excluded, ``[B, 4]``.

        Piecewise constant in the images: there is no gradient to take.
        """
        return self._boxes(*self._blob(images))

    @torch.no_grad()
    def regions(self, images: Tensor, region: str = "box") -> Tensor:
        """Paints the regions of ``[B, 3, H, W]``, ``[B, 1, H, W]`` bool.

        Args:
            images: In [0, 1].
            region: ``"box"`` or ``"contour"``.

        Raises:
            ValueError: ``region`` is another word.
        """
        check_choice("Localiser", "region", region, REGIONS)
        height, width = images.shape[-2:]
        blob, is_usable = self._blob(images)
        boxes = box_mask(self._boxes(blob, is_usable), height, width)
        if region == "box":
            return boxes
        outline = dilate(fill_holes(blob), self.margin)[:, None]
        return torch.where(is_usable[:, None, None, None], outline, boxes)

    def _blob(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Finds the largest blobs ``[B, H, W]``, and which of them can be an object ``[B]``."""
        strength = self.strength(images)
        mask = strength > _otsu(strength)
        mask = erode(dilate(mask, self.closing // 2), self.closing // 2)
        mask = dilate(erode(mask, self.opening), self.opening)
        blob = largest_blob(mask)
        area = blob.flatten(1).sum(1) / (blob.shape[1] * blob.shape[2])
        return blob, (area >= 0.05) & (area <= 0.95)

    def _boxes(self, blob: Tensor, is_usable: Tensor) -> Tensor:
        top, bottom = _extent(blob.any(2), self.padding)
        left, right = _extent(blob.any(1), self.padding)
        found = torch.stack([top, left, bottom, right], dim=1)
        centre = self._centre(*blob.shape[1:]).to(found)
        return torch.where(is_usable[:, None], found, centre)

    def _centre(self, height: int, width: int) -> Tensor:
        down, right = (round(side * (1 - self.fallback) / 2) for side in (height, width))
        return torch.tensor([down, right, height - down, width - right])


def box_mask(boxes: Tensor, height: int, width: int) -> Tensor:
    """Paints boxes ``[B, 4]`` (top, left, bottom, right) as ``[B, 1, height, width]`` bool."""
    top, left, bottom, right = boxes[:, :, None].unbind(1)
    rows, columns = (torch.arange(side, device=boxes.device) for side in (height, width))
    inside_rows = (rows >= top) & (rows < bottom)
    inside_columns = (columns >= left) & (columns < right)
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]


def _scharr(images: Tensor) -> Tensor:
    """``|Gx - Gy|`` of the grey images, saturated at 1 as 8-bit arithmetic is, ``[B, 1, H, W]``.

    Scharr's kernels are ``(3, 10, 3)`` across and ``(-1, 0, 1)`` along; most of their difference
    cancels.
    """
    red, green, blue = (share * images[:, [i]] for i, share in enumerate(LUMA))
    grey = functional.pad(red + green + blue, (1, 1, 1, 1), mode="reflect")
    left, right = grey[..., 1:-1, :-2], grey[..., 1:-1, 2:]
    up, down = grey[..., :-2, 1:-1], grey[..., 2:, 1:-1]
    corner, opposite = grey[..., :-2, 2:], grey[..., 2:, :-2]
    slope = 10 * ((right - left) - (down - up)) + 6 * (corner - opposite)
    return slope.abs().clamp(max=1)


def _otsu(values: Tensor) -> Tensor:
    """Threshold per image that best separates two classes of ``values`` in [0, 1], ``[B, 1, 1]``.

    Source: Otsu, 1979, on 256 bins.
    """
    bins = (values * (BINS - 1)).round().long().flatten(1)
    n_images, n_pixels = bins.shape
    bins = bins + BINS * torch.arange(n_images, device=values.device)[:, None]
    count = torch.bincount(bins.flatten(), minlength=n_images * BINS).view(n_images, BINS)
    count = count.to(values)
    level = torch.arange(BINS, device=values.device, dtype=values.dtype) / (BINS - 1)
    share = count.cumsum(1) / n_pixels
    moment = (count * level).cumsum(1) / n_pixels
    between = (moment[:, -1:] * share - moment).square() / (share * (1 - share)).clamp_min(1e-12)
    best = between.argmax(1)
    return ((best + 0.5) / (BINS - 1)).to(values)[:, None, None]


def _extent(occupied: Tensor, padding: float) -> tuple[Tensor, Tensor]:
    """First and one past the last true of ``[B, L]``, padded by a share of the extent, in range."""
    length = occupied.shape[1]
    first = occupied.int().argmax(1)
    end = length - occupied.flip(1).int().argmax(1)
    extra = ((end - first) * padding).ceil().long()
    return (first - extra).clamp_min(0), (end + extra).clamp_max(length)
