"""Small random changes of training images that leave their class."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sparsedef.training.step import Step


def shift(images: Tensor, step: Step, reach: int) -> Tensor:
    """Moves each image by up to ``reach`` pixels along both axes, edges repeated.

    Args:
        images: ``[B, C, H, W]``.
        step: Draws two whole offsets from -reach to reach for each image.
        reach: In pixels; 0 leaves the images as they are.
    """
    if reach == 0:
        return images
    height, width = images.shape[-2:]
    draws = [step.rand_like(images[:, 0, 0, 0]) for _ in range(2)]
    down, right = ((draw * (2 * reach + 1)).long().clamp_max(2 * reach) for draw in draws)
    padded = functional.pad(images, (reach,) * 4, mode="replicate")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(len(images), device=images.device), :, down, right]


def flip(images: Tensor, step: Step) -> Tensor:
    """Mirrors each image ``[B, C, H, W]`` left to right, with probability one half."""
    is_flipped = step.rand_like(images[:, 0, 0, 0]) < 0.5
    return torch.where(is_flipped[:, None, None, None], images.flip(3), images)


def rotate(images: Tensor, step: Step, degrees: float) -> Tensor:
    """Turns each image ``[B, C, H, W]`` about its middle by up to ``degrees`` either way.

    Bilinear; what comes in from outside is black.
    """
    draw = step.rand_like(images[:, 0, 0, 0])
    turn = (2 * draw - 1) * math.radians(degrees)
    # the grid is in units of half the width and half the height
    ratio = images.shape[-2] / images.shape[-1]
    cos, sin, zero = turn.cos(), turn.sin(), torch.zeros_like(turn)
    rows = [torch.stack([cos, -sin * ratio, zero], 1), torch.stack([sin / ratio, cos, zero], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def jitter(images: Tensor, step: Step, amount: float) -> Tensor:
    """Changes brightness, contrast and saturation of each image, in this order.

    Each is a blend ``f x + (1 - f) y`` with ``f`` uniform in ``[1 - amount, 1 + amount]`` and ``y``
    black, the image's mean grey, or its greys; clipped to [0, 1] each time.

    Args:
        images: ``[B, 3, H, W]`` in [0, 1].
        step: Draws the three factors of each image.
        amount: From 0 to 1.
    """
    weights = images.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)  # of ITU-R BT.601
    for kind in ("brightness", "contrast", "saturation"):
        factor = 1 + amount * (2 * step.rand_like(images[:, 0, 0, 0]) - 1)
        grey = (images * weights).sum(1, keepdim=True)
        other = {
            "brightness": torch.zeros_like(grey),
            "contrast": grey.mean((2, 3), keepdim=True),
            "saturation": grey,
        }[kind]
        images = other + factor[:, None, None, None] * (images - other)
        images = images.clamp(0, 1)
    return images


@dataclass(frozen=True)
class Augment:
    """Random changes of training images, in this order; 0 and ``False`` leave one out.

    Args:
        shift: In pixels.
        rotation: In degrees.
        jitter: Of brightness, contrast and saturation.
        flip: Mirror half of the images.
    """

    shift: int = 0
    rotation: float = 0.0
    jitter: float = 0.0
    flip: bool = False

    def __call__(self, images: Tensor, step: Step) -> Tensor:
        """Changes images ``[B, 3, H, W]`` in [0, 1]."""
        images = shift(images, step, self.shift)
        images = jitter(images, step, self.jitter) if self.jitter else images
        images = flip(images, step) if self.flip else images
        return rotate(images, step, self.rotation) if self.rotation else images
