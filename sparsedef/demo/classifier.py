"""The small network that the demo attacks: seconds to train, right on about 98% of the digits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.data import Split


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


def train(
    split: Split,
    n_classes: int,
    *,
    epochs: int,
    seed: int,
    batch_size: int = 64,
    after_epoch: Callable[[], object] = lambda: None,
) -> SmallCNN:
    """Trains a ``SmallCNN`` on clean images by AdamW with a one-cycle rate; no adversarial data.

    Images are shifted by up to two pixels at random. The caller's random state is left alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SmallCNN(n_classes, split.images.shape[-1])
        steps = -(-len(split) // batch_size)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=4e-3, total_steps=epochs * steps
        )
        for _ in range(epochs):
            for rows in torch.randperm(len(split)).split(batch_size):
                loss = functional.cross_entropy(
                    model(_shifted(split.images[rows])), split.labels[rows]
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            after_epoch()
    return model.eval().requires_grad_(False)


def _shifted(images: Tensor, reach: int = 2) -> Tensor:
    """Moves a batch by one random offset of at most ``reach`` pixels, edges repeated."""
    down, right = torch.randint(0, 2 * reach + 1, (2,)).tolist()
    padded = functional.pad(images, (reach, reach, reach, reach), mode="replicate")
    return padded[..., down : down + images.shape[-2], right : right + images.shape[-1]]


@torch.no_grad()
def accuracy(model: nn.Module, split: Split) -> float:
    """Share of ``split`` that ``model`` classifies rightly."""
    return float((model(split.images).argmax(1) == split.labels).double().mean())
