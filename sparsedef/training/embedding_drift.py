"""FARE: an encoder whose embedding of attacked images stays where it was on clean ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from sparsedef.training.inner import LinfAscent
from sparsedef.training.step import Step


@dataclass(frozen=True)
class EmbeddingDrift:
    """Unsupervised robust fine-tuning of an encoder.

    Minimises ``mean ||f(x') - f_0(x)||^2`` with ``f_0`` the encoder before training and ``x'`` the
    image in the ball where that is largest; embeddings are not normalised.

    Args:
        attack: The inner maximisation.
        original: ``f_0``: images to embeddings, kept as it is.

    Source: FARE, Schlarmann, Singh, Croce, Hein, "Robust CLIP", 2024.
    """

    attack: LinfAscent
    original: nn.Module = field(repr=False)

    def __call__(self, encoder: nn.Module, images: Tensor, labels: Tensor, step: Step) -> Tensor:
        """Gives the mean loss of images ``[B, 3, H, W]``; labels are not used."""
        with torch.no_grad():
            wanted: Tensor = self.original(images)

        def drift(embeddings: Tensor) -> Tensor:
            return (embeddings - wanted).square().sum()

        start = self.attack.random_start(images, step)
        attacked = self.attack.climb(encoder, images, start, drift)
        return drift(encoder(attacked)) / len(images)
