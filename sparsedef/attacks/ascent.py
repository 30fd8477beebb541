"""The loop that the iterated attacks share: step uphill, project, remember the best."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sparsedef.attacks.ball import Ball, per_image
from sparsedef.attacks.base import misclassified
from sparsedef.attacks.losses import Loss
from sparsedef.attacks.target import Target


class Best:
    """Remembers, per image, the strongest point seen: misclassified first, then highest loss."""

    def __init__(self, start: Tensor) -> None:
        """Starts with ``start`` ``[B, C, H, W]``, which anything beats."""
        self.images = start.clone()
        self.rank = start.new_full((start.shape[0],), -torch.inf)
        self.wrong = torch.zeros(start.shape[0], dtype=torch.bool, device=start.device)

    def update(self, images: Tensor, logits: Tensor, loss: Tensor, labels: Tensor) -> None:
        """Takes over those of ``images`` ``[B, C, H, W]`` that beat what is remembered."""
        wrong = misclassified(logits, labels)
        loss = torch.nan_to_num(loss, nan=torch.inf)
        better = (wrong & ~self.wrong) | ((wrong == self.wrong) & (loss > self.rank))
        self.images = torch.where(per_image(better), images, self.images)
        self.rank = torch.where(better, loss, self.rank)
        self.wrong |= wrong


def ascend(
    target: Target,
    labels: Tensor,
    *,
    ball: Ball,
    start: Tensor,
    steps: int,
    step_size: float,
    loss: Loss,
    direction: Callable[[Tensor], Tensor],
    keep_best: bool,
) -> Tensor:
    """Climbs ``loss`` inside ``ball`` by ``steps`` projected steps.

    Per step: ``x <- project(x + step_size * direction(gradient))``.

    Args:
        target: Where gradients come from.
        labels: True classes, ``[B]``.
        ball: The budget around the clean images.
        start: First point, ``[B, C, H, W]``.
        steps: Number of gradients taken.
        step_size: Length of a step in the ball's norm.
        loss: What is climbed.
        direction: Gradient ``[B, C, H, W]`` to a unit step; may keep momentum between calls.
        keep_best: Return each image's strongest point, not its last one.

    Returns:
        Attacked images ``[B, C, H, W]``.
    """
    images, best = start, Best(start)
    for _ in range(steps):
        logits, value, grad = target.probe(images, labels, loss)
        best.update(images, logits, value, labels)
        images = ball.project(images + step_size * direction(grad))
    if not keep_best:
        return images
    logits = target.logits(images, labels)
    best.update(images, logits, loss(logits, labels), labels)
    return best.images
