"""Images in [0, 1] for networks that were trained on shifted and scaled ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """Shifts and scales images ``[B, 3, H, W]``: (images - mean) / std, per channel.

    Both are part of the definition and not learnt, so they are not in the state dict.

    Args:
        mean: Three numbers.
        std: Three numbers, positive.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__()
        if len(mean) != 3 or len(std) != 3 or not min(std) > 0:
            raise ValueError(
                f"Normalise: mean and std must be three numbers each, std positive, got "
                f"{tuple(mean)} and {tuple(std)}"
            )
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images to the same shape."""
        return (images - self.mean) / self.std


class Normalised(nn.Module):
    """Gives a network shifted and scaled images, so that attacks see images in [0, 1].

    Where the network answers with a tuple, as torchvision's Inception and GoogLeNet do while they
    train with helper outputs, the first entry is its logits.

    Args:
        network: Normalised images ``[B, 3, H, W]`` to logits ``[B, classes]``.
        mean: Per channel.
        std: Per channel, positive.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Classifies images ``[B, 3, H, W]`` in [0, 1]: logits ``[B, classes]``."""
        answer = self.network(self.normalise(images))
        logits: Tensor = answer[0] if isinstance(answer, tuple) else answer
        return logits
