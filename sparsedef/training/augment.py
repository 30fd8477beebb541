"""Small random changes of training images that leave their class."""

from __future__ import annotations

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
