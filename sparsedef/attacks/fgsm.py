"""Fast gradient sign method: one step to the edge of the ball."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.attacks.ball import Ball
from sparsedef.attacks.base import Attack
from sparsedef.attacks.inputs import Norm
from sparsedef.attacks.losses import find_loss
from sparsedef.attacks.target import Target


class FGSM(Attack):
    """Takes one step of length ``eps`` along the sign of the gradient.

    ``x' = clip(x + eps * sign(g))``, ``g`` the gradient of the loss; for L2 ``g / ||g||_2`` in
    place of the sign. Weak on purpose: a defense that only stops this has shown nothing.

    Args:
        eps: Radius, in pixel units of [0, 1].
        norm: ``"linf"`` or ``"l2"``.
        loss: ``"ce"``, ``"margin"`` or ``"dlr"``.
        seed: Of a random model's draws.
        draws: How often a random model is asked.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
        >>> found = FGSM(0.1)(model, torch.full((2, 3, 2, 2), 0.5), torch.tensor([0, 1]))
        >>> round(found.distance.max().item(), 4)
        0.1

    Source: Goodfellow, Shlens, Szegedy, 2015.
    """

    def __init__(
        self, eps: float, *, norm: Norm = "linf", loss: str = "ce", seed: int = 0, draws: int = 20
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(eps, norm=norm, seed=seed, draws=draws)
        self.loss = find_loss(self.name, loss)

    def perturb(
        self,
        target: Target,
        images: Tensor,
        labels: Tensor,
        start: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Steps once; see the class."""
        ball = Ball(images, self.radius, self.norm)
        start = images if start is None else start
        grad = target.probe(start, labels, self.loss).grad
        return ball.project(start + self.radius * ball.steepest(grad))
