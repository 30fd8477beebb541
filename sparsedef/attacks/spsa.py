"""SPSA: climbs a gradient that is estimated from scores in random directions."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from sparsedef.attacks.ball import Ball, per_image
from sparsedef.attacks.base import Attack
from sparsedef.attacks.inputs import Norm, check_positive
from sparsedef.attacks.losses import find_loss
from sparsedef.attacks.score import ask
from sparsedef.attacks.target import Target
from sparsedef.solvers.checks import check_choice, check_count

ADAM_STEP = 0.01  # the paper's


class SPSA(Attack):
    """Repeats ``x <- P(x + step)`` along an estimated gradient, ``P`` the projection as in PGD.

    With ``v_i`` directions of independent signs, all entries -1 or +1 (Rademacher), and J the
    loss, the estimate is

        ``g = 1/samples * sum_i (J(x + delta v_i) - J(x - delta v_i)) / (2 delta) * v_i``,

    whose mean is the gradient of J up to O(delta^2). Both looks are clipped to [0, 1], where a
    model is defined: at a pixel on the edge the difference is one-sided, half as large and of the
    same sign. ``"adam"`` steps by Adam's rule (decays 0.9 and 0.999), ``"sign"`` by ``step_size *
    sign(g)`` (L2: ``g / ||g||_2``).

    No gradient is asked for, so masked gradients do not protect, and ``health`` stays empty. Each
    image keeps its strongest point, and is no longer asked once it is misclassified (by a random
    model: in every draw of one look). A query is one image shown to the model once, all draws of a
    random model being one: at most ``steps * (2 * samples + 1) + 1`` per image, and one look more
    for the judgement that ends every attack.

    An image's random numbers depend on the seed, its place in the batch and the batch's size, not
    on what the other images are or when they fall.

    Args:
        eps: Radius, in pixel units of [0, 1].
        norm: ``"linf"`` or ``"l2"``.
        steps: Number of steps.
        samples: Directions per step; each costs two queries.
        delta: Half the distance between the two looks along a direction, per pixel. On a model
            that rounds its input, take it near the width of a level.
        optimizer: ``"adam"`` or ``"sign"``.
        step_size: Length of a step; ``None``: 0.01 for Adam, ``2.5 * eps / steps`` for the sign.
        loss: ``"margin"``, ``"ce"`` or ``"dlr"``.
        chunk: About how many images to show to the model in one call, if it is more than the
            batch; for memory only.
        seed: Of the directions, and of a random model's draws.
        draws: How often a random model is asked, per look.

    Source: Uesato, O'Donoghue, van den Oord, Kohli, 2018; the estimate, Spall, 1992.
    """

    uses_gradient: ClassVar[bool] = False

    def __init__(
        self,
        eps: float,
        *,
        norm: Norm = "linf",
        steps: int = 100,
        samples: int = 128,
        delta: float = 0.01,
        optimizer: str = "adam",
        step_size: float | None = None,
        loss: str = "margin",
        chunk: int = 512,
        seed: int = 0,
        draws: int = 20,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(eps, norm=norm, seed=seed, draws=draws)
        self.steps = check_count(self.name, "steps", steps)
        self.samples = check_count(self.name, "samples", samples)
        self.delta = check_positive(self.name, "delta", delta)
        check_choice(self.name, "optimizer", optimizer, ("adam", "sign"))
        self.optimizer = optimizer
        if step_size is None:
            self.step_size = ADAM_STEP if optimizer == "adam" else 2.5 * self.radius / steps
        else:
            self.step_size = check_positive(self.name, "step_size", step_size)
        self.loss = find_loss(self.name, loss)
        self.chunk = check_count(self.name, "chunk", chunk)

    def perturb(
        self,
        target: Target,
        images: Tensor,
        labels: Tensor,
        start: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Climbs; see the class."""
        points = (images if start is None else start).clone()
        found, best = points.clone(), points.new_full(labels.shape, -torch.inf)
        first, second = torch.zeros_like(points), torch.zeros_like(points)
        rows = torch.arange(len(images), device=images.device)  # images still asked
        for step in range(1, self.steps + 2):
            score = ask(target, points[rows], labels[rows], self.loss)
            is_better = score.is_fallen | (score.loss > best[rows])
            taken = rows[is_better]
            found[taken], best[taken] = points[taken], score.loss[is_better]
            rows = rows[~score.is_fallen]
            if step > self.steps or rows.numel() == 0:
                break
            grad = self._estimate(target, points, labels, rows, generator)
            ball = Ball(images[rows], self.radius, self.norm)
            if self.optimizer == "adam":
                first[rows] = 0.9 * first[rows] + 0.1 * grad
                second[rows] = 0.999 * second[rows] + 0.001 * grad.square()
                scale = (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
                way = scale * first[rows] / (second[rows].sqrt() + 1e-8)
            else:
                way = ball.steepest(grad)
            points[rows] = ball.project(points[rows] + self.step_size * way)
        return found

    def _estimate(
        self,
        target: Target,
        points: Tensor,
        labels: Tensor,
        rows: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Estimates the gradient at the points ``[B, C, H, W]`` numbered ``rows`` ``[R]``."""
        here, label = points[rows], labels[rows]
        total = torch.zeros_like(here)
        # by the whole batch, so that the draws do not depend on how many images are left
        at_once = max(1, self.chunk // (2 * len(points)))
        for done in range(0, self.samples, at_once):
            count = min(at_once, self.samples - done)
            signs = 2 * torch.randint(
                0, 2, (count, *points.shape), generator=generator, dtype=points.dtype,
                device=points.device,
            )[:, rows] - 1  # fmt: skip
            looks = torch.stack([here + self.delta * signs, here - self.delta * signs])
            loss = ask(
                target, looks.clamp(0, 1).flatten(0, 2), label.repeat(2 * count), self.loss
            ).loss.view(2, count, -1)
            slope = (loss[0] - loss[1]) / (2 * self.delta)
            slope = torch.where(torch.isfinite(slope), slope, 0.0)  # infinite minus infinite
            total += (per_image(slope).view(count, -1, 1, 1, 1) * signs).sum(0)
        return total / self.samples
