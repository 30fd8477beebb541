"""Training of the small network that the demo attacks: seconds, and right on 98% of the digits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.data import Split
from sparsedef.models import SmallCNN


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
