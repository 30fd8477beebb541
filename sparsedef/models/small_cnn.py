"""A small network that trains in seconds, for images of some 32 pixels."""

from __future__ import annotations

from torch import Tensor, nn


class SmallCNN(nn.Module):
    """Four convolutions and a linear head: images ``[B, 3, H, W]`` in [0, 1] to logits.

    Args:
        n_classes: Number of classes.
        size: Height and width of the images, a multiple of 8.
        width: Channels of the first convolution; there are up to four times as many later.
    """

    def __init__(self, n_classes: int, size: int = 32, width: int = 16) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.head = nn.Linear(4 * width * (size // 8) ** 2, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Classifies images ``[B, 3, H, W]``: logits ``[B, n_classes]``."""
        features: Tensor = self.features((images - 0.5) / 0.25)
        logits: Tensor = self.head(features.flatten(1))
        return logits
