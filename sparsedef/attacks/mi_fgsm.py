"""Momentum iterative FGSM: BIM along a running mean of normalised gradients."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from sparsedef.attacks.ball import Ball, per_image
from sparsedef.attacks.bim import BIM
from sparsedef.attacks.inputs import Norm


class MIFGSM(BIM):
    """Repeats ``m <- decay * m + g / ||g||_1``, ``x <- P(x + step_size * sign(m))``.

    For L2 the step is ``step_size * m / ||m||_2``. Momentum carries an attack over the bumps of
    one model, so that it transfers better to another.

    Args:
        eps: Radius, in pixel units of [0, 1].
        norm: ``"linf"`` or ``"l2"``.
        steps: Number of steps.
        step_size: Length of a step; ``None``: ``eps / steps``.
        decay: Weight of the past, ``mu`` in the paper; 0 gives BIM.
        loss: ``"ce"``, ``"margin"`` or ``"dlr"``.
        keep_best: Return each image's strongest point on the way, not the last one.
        seed: Of a random model's draws.
        draws: How often a random model is asked, per step.

    Source: Dong, Liao, Pang, Su, Zhu, Hu, Li, 2018.
    """

    def __init__(
        self,
        eps: float,
        *,
        norm: Norm = "linf",
        steps: int = 10,
        step_size: float | None = None,
        decay: float = 1.0,
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
        if step_size is None:
            self.step_size = self.radius / steps
        if not decay >= 0:
            raise ValueError(f"{self.name}: decay must be >= 0, got {decay}")
        self.decay = float(decay)

    def direction(self, ball: Ball) -> Callable[[Tensor], Tensor]:
        """Follows the momentum, which starts at zero, in place of the gradient."""
        momentum: Tensor | float = 0.0

        def follow(grad: Tensor) -> Tensor:
            nonlocal momentum
            length = per_image(grad.flatten(1).abs().sum(1).clamp_min(1e-30))
            momentum = self.decay * momentum + grad / length
            return ball.steepest(momentum)

        return follow
