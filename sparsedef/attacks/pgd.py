"""Projected gradient descent: BIM from random points of the ball."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.attacks.ascent import Best
from sparsedef.attacks.ball import Ball
from sparsedef.attacks.bim import BIM
from sparsedef.attacks.inputs import Norm
from sparsedef.attacks.target import Target
from sparsedef.solvers.checks import check_count


class PGD(BIM):
    """Repeats BIM's step from a uniform random point of the ball, ``restarts`` times.

    Args:
        eps: Radius, in pixel units of [0, 1].
        restarts: Number of random starts; each image keeps its strongest point over all.
        norm: ``"linf"`` or ``"l2"``.
        steps: Number of steps per start.
        step_size: Length of a step; ``None``: ``2.5 * eps / steps``.
        loss: ``"ce"``, ``"margin"`` or ``"dlr"``.
        keep_best: Keep each start's strongest point on the way, not its last one.
        seed: Of the starts, and of a random model's draws.
        draws: How often a random model is asked, per step.

    Source: Madry, Makelov, Schmidt, Tsipras, Vladu, 2018.
    """

    def __init__(
        self,
        eps: float,
        *,
        restarts: int = 1,
        norm: Norm = "linf",
        steps: int = 20,
        step_size: float | None = None,
        loss: str = "ce",
        keep_best: bool = True,
        seed: int = 0,
        draws: int = 20,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(
            eps,
            norm=norm,
            steps=steps,
            step_size=step_size,
            loss=loss,
            keep_best=keep_best,
            seed=seed,
            draws=draws,
        )
        self.restarts = check_count(self.name, "restarts", restarts)

    def perturb(
        self,
        target: Target,
        images: Tensor,
        labels: Tensor,
        start: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Climbs from each start; a given one takes the place of the first random one."""
        ball, best = Ball(images, self.radius, self.norm), Best(images)
        for restart in range(self.restarts):
            if restart > 0 or start is None:
                start = ball.random_start(generator)
            found = super().perturb(target, images, labels, start, generator)
            logits = target.logits(found, labels)
            best.update(found, logits, self.loss(logits, labels), labels)
        return best.images
