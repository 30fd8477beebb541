"""Basic iterative method: FGSM in small projected steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sparsedef.attacks.ascent import ascend
from sparsedef.attacks.ball import Ball
from sparsedef.attacks.base import Attack
from sparsedef.attacks.inputs import Norm, check_positive
from sparsedef.attacks.losses import find_loss
from sparsedef.attacks.target import Target
from sparsedef.solvers.checks import check_count


class BIM(Attack):
    """Repeats ``x <- P(x + step_size * sign(g))``, ``P`` the projection on the ball and [0, 1].

    Starts at the clean image. For L2 ``g / ||g||_2`` takes the place of the sign.

    Args:
        eps: Radius, in pixel units of [0, 1].
        norm: ``"linf"`` or ``"l2"``.
        steps: Number of steps.
        step_size: Length of a step; ``None``: ``2.5 * eps / steps``.
        loss: ``"ce"``, ``"margin"`` or ``"dlr"``.
        keep_best: Return each image's strongest point on the way, not the last one.
        seed: Of a random model's draws.
        draws: How often a random model is asked, per step.

    Source: Kurakin, Goodfellow, Bengio, 2017.
    """

    def __init__(
        self,
        eps: float,
        *,
        norm: Norm = "linf",
        steps: int = 10,
        step_size: float | None = None,
        loss: str = "ce",
        keep_best: bool = True,
        seed: int = 0,
        draws: int = 20,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(eps, norm=norm, seed=seed, draws=draws)
        self.steps = check_count(self.name, "steps", steps)
        self.step_size = (
            2.5 * self.radius / steps
            if step_size is None
            else check_positive(self.name, "step_size", step_size)
        )
        self.loss = find_loss(self.name, loss)
        self.keep_best = keep_best

    def perturb(
        self,
        target: Target,
        images: Tensor,
        labels: Tensor,
        start: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Climbs; see the class."""
        ball = Ball(images, self.radius, self.norm)
        return ascend(
            target,
            labels,
            ball=ball,
            start=images if start is None else start,
            steps=self.steps,
            step_size=self.step_size,
            loss=self.loss,
            direction=self.direction(ball),
            keep_best=self.keep_best,
        )

    def direction(self, ball: Ball) -> Callable[[Tensor], Tensor]:
        """What turns each step's gradient into the way to go; called once per run of steps."""
        return ball.steepest
