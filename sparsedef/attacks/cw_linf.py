"""Carlini and Wagner's margin loss climbed by PGD within an linf ball."""

from __future__ import annotations

import math

from torch import Tensor

from sparsedef.attacks.inputs import Norm
from sparsedef.attacks.losses import margin
from sparsedef.attacks.pgd import PGD
from sparsedef.solvers.checks import check_choice


class CWLinf(PGD):
    """Climbs the margin up to a confidence by PGD: "CW" as tables of defenses have it.

    Per image it maximises ``min(max_other z - z_true, confidence)``, minus the paper's ``f_6``,
    over the ball, by ``x <- P(x + step_size * sign(g))`` from a random point of it. An image that
    reaches the confidence comes back as the first point that did: climbing on can gain nothing.
    (By a random model: in every draw of one look; a larger confidence then fools more firmly.)
    This is not Carlini and Wagner's own linf attack, which looks for the smallest radius.

    The margin does not saturate on a confident model, where cross-entropy's gradient vanishes.
    The clip decides which point is kept; ``g`` is the margin's gradient on both sides of it, so
    that zeros in ``health`` speak of the model, not of images that are already beaten.

    Args:
        eps: Radius, in pixel units of [0, 1].
        confidence: Margin to reach, ``kappa`` in the paper.
        norm: ``"linf"``; no other.
        restarts: Number of random starts; each image keeps its strongest point over all.
        steps: Number of steps per start.
        step_size: Length of a step; ``None``: ``2.5 * eps / steps``.
        seed: Of the starts, and of a random model's draws.
        draws: How often a random model is asked, per step.

    Source: the loss, Carlini, Wagner, 2017; the steps, Madry, Makelov, Schmidt, Tsipras, Vladu,
    2018.
    """

    def __init__(
        self,
        eps: float,
        *,
        confidence: float = 0.0,
        norm: Norm = "linf",
        restarts: int = 1,
        steps: int = 30,
        step_size: float | None = None,
        seed: int = 0,
        draws: int = 20,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        check_choice(self.name, "norm", norm, ("linf",))
        super().__init__(
            eps, restarts=restarts, steps=steps, step_size=step_size, seed=seed, draws=draws
        )
        if not 0 <= confidence < math.inf:
            raise ValueError(f"{self.name}: confidence must be finite and >= 0, got {confidence}")
        self.confidence = float(confidence)
        self.loss = self._clipped_margin

    def _clipped_margin(self, logits: Tensor, labels: Tensor) -> Tensor:
        """``min(margin - confidence, 0)`` in value, per image ``[B]``; the margin in gradient."""
        gain = margin(logits, labels)
        return gain + ((gain - self.confidence).clamp_max(0) - gain).detach()
