"""Where the object is: a box from gradients, threshold, morphology and the largest blob."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

LUMA = (0.299, 0.587, 0.114)
BINS = 256


@dataclass(frozen=True)
class Localiser:
    """Finds one axis-aligned box per image around what has strong horizontal gradients.

    grey -> Scharr ``|Gx - Gy|``, saturated at 1 -> box blur -> Otsu threshold -> closing ->
    erosion and dilation -> largest 8-connected blob -> bounding box, padded. Where that blob
    covers less than 5% or more than 95% of the image, a centre box stands in.

    Args:
        blur: Side of the box blur, odd.
        closing: Side of the closing's square, odd.
        opening: Rounds of 3 x 3 erosion, then as many of dilation.
        padding: Added on each side, as a share of the box's side.
        fallback: Side of the centre box, as a share of the image's side.
    """

    blur: int = 9
    closing: int = 25
    opening: int = 4
    padding: float = 0.05
    fallback: float = 0.75

    @classmethod
    def for_size(cls, side: int) -> Localiser:
        """Scales the windows, meant for 299 pixels, to images of ``side`` pixels."""
        scale = side / 299
        return cls(
            blur=max(3, 2 * round(9 * scale / 2) + 1),
            closing=max(3, 2 * round(25 * scale / 2) + 1),
            opening=round(4 * scale),
        )

    @torch.no_grad()
    def boxes(self, images: Tensor) -> Tensor:
        """Finds the boxes of ``[B, 3, H, W]``: top, left, bottom, right, ends excluded, ``[B, 4]``.

        Piecewise constant in the images: there is no gradient to take.
        """
        height, width = images.shape[-2:]
        strength = _blur(_scharr(images), self.blur)
        mask = strength > _otsu(strength)
        mask = _erode(_dilate(mask, self.closing // 2), self.closing // 2)
        mask = _dilate(_erode(mask, self.opening), self.opening)
        blob = _largest(mask)
        area = blob.flatten(1).sum(1) / (height * width)
        top, bottom = _extent(blob.any(2), self.padding)
        left, right = _extent(blob.any(1), self.padding)
        found = torch.stack([top, left, bottom, right], dim=1)
        usable = (area >= 0.05) & (area <= 0.95)
        return torch.where(usable[:, None], found, self._centre(height, width).to(found))

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
    """``|Gx - Gy|`` of the grey images, saturated at 1 as 8-bit arithmetic does, ``[B, H, W]``."""
    grey = torch.einsum("bchw,c->bhw", images, images.new_tensor(LUMA))[:, None]
    smooth, slope = images.new_tensor([3.0, 10.0, 3.0]), images.new_tensor([-1.0, 0.0, 1.0])
    kernel = torch.outer(smooth, slope)
    kernel = (kernel - kernel.T)[None, None]
    padded = functional.pad(grey, (1,) * 4, mode="reflect")
    return functional.conv2d(padded, kernel)[:, 0].abs().clamp(max=1)


def _blur(values: Tensor, side: int) -> Tensor:
    padded = functional.pad(values[:, None], (side // 2,) * 4, mode="reflect")
    return functional.avg_pool2d(padded, side, stride=1)[:, 0]


def _otsu(values: Tensor) -> Tensor:
    """Threshold per image that best separates two classes of ``values`` in [0, 1], ``[B, 1, 1]``.

    Source: Otsu, 1979, on 256 bins.
    """
    bins = (values * (BINS - 1)).round().long().flatten(1)
    count = values.new_zeros(values.shape[0], BINS).scatter_add_(
        1, bins, torch.ones_like(bins, dtype=values.dtype)
    )
    level = torch.arange(BINS, device=values.device, dtype=values.dtype) / (BINS - 1)
    share = count.cumsum(1) / bins.shape[1]
    moment = (count * level).cumsum(1) / bins.shape[1]
    between = (moment[:, -1:] * share - moment).square() / (share * (1 - share)).clamp_min(1e-12)
    best = between.argmax(1)
    return ((best + 0.5) / (BINS - 1)).to(values)[:, None, None]


def _around(values: Tensor) -> Tensor:
    """Maximum over each pixel's 3 x 3 surroundings, ``[B, H, W]``; far cheaper than a pooling."""
    rows = values.clone()
    rows[:, 1:] = torch.maximum(rows[:, 1:], values[:, :-1])
    rows[:, :-1] = torch.maximum(rows[:, :-1], values[:, 1:])
    both = rows.clone()
    both[:, :, 1:] = torch.maximum(both[:, :, 1:], rows[:, :, :-1])
    both[:, :, :-1] = torch.maximum(both[:, :, :-1], rows[:, :, 1:])
    return both


def _dilate(mask: Tensor, reach: int) -> Tensor:
    """Grows a mask by ``reach`` pixels in all eight directions."""
    for _ in range(reach):
        mask = _around(mask)
    return mask


def _erode(mask: Tensor, reach: int) -> Tensor:
    """Shrinks a mask by ``reach`` pixels; the border of the image takes nothing away."""
    return ~_dilate(~mask, reach)


def _largest(mask: Tensor) -> Tensor:
    """Keeps the largest 8-connected blob of each ``[B, H, W]`` mask.

    Labels flood each blob: a pixel takes the largest label around it, some rounds long; then the
    label of the pixel that its label numbers, which carries news over a whole blob at once.
    """
    n_images, height, width = mask.shape
    n_pixels = height * width
    number = torch.arange(1, n_pixels + 1, dtype=torch.int32, device=mask.device)
    label = number.view(1, height, width) * mask
    while True:
        spread = label
        for _ in range(4):
            spread = _around(spread) * mask
        spread = spread.flatten(1)
        jumped = functional.pad(spread, (1, 0)).gather(1, spread.long()).view_as(label)
        if torch.equal(jumped, label):
            break
        label = jumped
    index = label.flatten(1).long()
    size = torch.zeros(n_images, n_pixels + 1, device=mask.device, dtype=torch.long)
    size.scatter_add_(1, index, mask.flatten(1).long())
    size[:, 0] = 0
    return mask & (label == size.argmax(1)[:, None, None])


def _extent(occupied: Tensor, padding: float) -> tuple[Tensor, Tensor]:
    """First and one past the last true of ``[B, L]``, padded by a share of the extent, in range."""
    length = occupied.shape[1]
    first = occupied.int().argmax(1)
    end = length - occupied.flip(1).int().argmax(1)
    extra = ((end - first) * padding).ceil().long()
    return (first - extra).clamp_min(0), (end + extra).clamp_max(length)
