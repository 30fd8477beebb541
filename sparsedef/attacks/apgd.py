"""Auto-PGD: projected ascent with momentum that chooses its own step sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsedef.attacks.ascent import Best
from sparsedef.attacks.ball import Ball, per_image
from sparsedef.attacks.base import Attack
from sparsedef.attacks.inputs import Norm
from sparsedef.attacks.losses import Loss, find_loss
from sparsedef.attacks.target import Target
from sparsedef.solvers.checks import check_count

MOMENTUM = 0.75  # share of the new step; the rest repeats the last one
RHO = 0.75  # share of the steps since a checkpoint that must gain

# the images still standing, [R] numbers of the batch, to the loss that they climb
Objective = Callable[[Tensor], Loss]


def checkpoints(steps: int) -> list[int]:
    """Lists after how many of ``steps`` steps the step size is judged: ``ceil(p_j * steps)``.

    ``p_0 = 0``, ``p_1 = 0.22``, ``p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06)``, up to 1;
    counted in whole percents, which binary fractions cannot hold.
    """
    found, percent, window = [], 22, 22
    while percent <= 100:
        found.append(-(-percent * steps // 100))
        window = max(window - 3, 6)
        percent += window
    return sorted(set(found))


@dataclass(frozen=True)
class _Point:
    """Where each image is: ``images`` and ``grad`` ``[B, C, H, W]``, ``loss`` ``[B]``."""

    images: Tensor
    loss: Tensor
    grad: Tensor

    def replaced(self, where: Tensor, other: _Point) -> _Point:
        """Takes the images ``where`` ``[B]`` bool from ``other``."""
        whole = per_image(where)
        return _Point(
            torch.where(whole, other.images, self.images),
            torch.where(where, other.loss, self.loss),
            torch.where(whole, other.grad, self.grad),
        )


def climb(
    target: Target, labels: Tensor, *, ball: Ball, start: Tensor, steps: int, loss: Loss
) -> Tensor:
    """Runs Auto-PGD once, with ``steps`` gradients; the rule is in ``APGD``.

    Args:
        target: Where gradients come from.
        labels: True classes, ``[B]``.
        ball: The budget around the clean images.
        start: First point ``[B, C, H, W]``, inside ``ball``.
        steps: Number of steps.
        loss: What is climbed.

    Returns:
        Each image's strongest point on the way, ``[B, C, H, W]``.
    """
    strongest, judged = Best(start), checkpoints(steps)

    def look(images: Tensor) -> _Point:
        logits, value, grad = target.probe(images, labels, loss)
        strongest.update(images, logits, value, labels)
        return _Point(images, torch.nan_to_num(value, nan=torch.inf), grad)

    here = peak = look(start)
    step_size = torch.full_like(here.loss, 2 * ball.eps)
    gains, last = torch.zeros_like(here.loss), 0
    peak_before, was_halved = peak.loss, torch.zeros_like(here.loss, dtype=torch.bool)
    before = start
    for step in range(1, steps + 1):
        ahead = ball.project(here.images + per_image(step_size) * ball.steepest(here.grad))
        if step > 1:
            push = MOMENTUM * (ahead - here.images) + (1 - MOMENTUM) * (here.images - before)
            ahead = ball.project(here.images + push)
        before = here.images
        if step == steps:
            logits = target.logits(ahead, labels)
            strongest.update(ahead, logits, loss(logits, labels), labels)
            break
        there = look(ahead)
        gains = gains + (there.loss > here.loss)
        here, peak = there, peak.replaced(there.loss > peak.loss, there)
        if step in judged:
            is_stuck = (gains < RHO * (step - last)) | (~was_halved & (peak.loss <= peak_before))
            step_size = torch.where(is_stuck, step_size / 2, step_size)
            here = here.replaced(is_stuck, peak)
            peak_before, was_halved = peak.loss, is_stuck
            gains, last = torch.zeros_like(gains), step
    return strongest.images


class APGD(Attack):
    """Climbs with momentum, and halves an image's step where it stops paying.

    From a uniform random point of the ball, ``P`` the projection on the ball and [0, 1]::

        z       = P(x_k + eta * sign(g_k))              for L2 g_k / ||g_k||_2
        x_{k+1} = P(x_k + 0.75 (z - x_k) + 0.25 (x_k - x_{k-1})),    x_1 = z

    ``eta`` begins at ``2 * eps``. At the ``checkpoints`` an image's ``eta`` is halved, and it
    goes on from the highest point it has seen, if (1) fewer than 75% of its steps since the
    last checkpoint raised the loss, or (2) at the last checkpoint ``eta`` stayed as it was and
    the highest loss has not risen since. The first run attacks every image; further ones only
    those that still stand, so that ``restarts`` cost little where the model is weak.

    Args:
        eps: Radius, in pixel units of [0, 1].
        norm: ``"linf"`` or ``"l2"``.
        steps: Number of gradients per run, which sets the checkpoints too.
        restarts: Number of random starts; each image keeps its strongest point over all.
        loss: ``"ce"``, ``"dlr"`` or ``"margin"``. A confident model hides from ``"ce"``, whose
            gradient vanishes; not from the others.
        seed: Of the starts, and of a random model's draws.
        draws: How often a random model is asked, per step.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
        >>> found = APGD(0.1, steps=20)(model, torch.full((2, 3, 2, 2), 0.5), torch.tensor([0, 1]))
        >>> bool(found.distance.max() <= 0.1 + 1e-6)
        True

    Source: Croce, Hein, 2020.
    """

    def __init__(
        self,
        eps: float,
        *,
        norm: Norm = "linf",
        steps: int = 100,
        restarts: int = 1,
        loss: str = "ce",
        seed: int = 0,
        draws: int = 20,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(eps, norm=norm, seed=seed, draws=draws)
        self.steps = check_count(self.name, "steps", steps)
        self.restarts = check_count(self.name, "restarts", restarts)
        self.loss = find_loss(self.name, loss)

    def objectives(self, target: Target, images: Tensor, labels: Tensor) -> list[Objective]:
        """What is climbed, ``restarts`` times each; ``loss`` says which result is stronger."""
        return [lambda rows: self.loss]

    def perturb(
        self,
        target: Target,
        images: Tensor,
        labels: Tensor,
        start: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Climbs each objective; a given start takes the place of the first random one."""
        ball, best = Ball(images, self.radius, self.norm), Best(images)
        for objective in self.objectives(target, images, labels):
            for restart in range(self.restarts):
                if restart == 0 and start is not None:
                    begin = start
                else:
                    begin = ball.random_start(generator)
                rows = torch.nonzero(~best.wrong)[:, 0]
                if rows.numel() == 0:
                    return best.images
                found = best.images.clone()
                found[rows] = climb(
                    target,
                    labels[rows],
                    ball=Ball(images[rows], self.radius, self.norm),
                    start=begin[rows],
                    steps=self.steps,
                    loss=objective(rows),
                )
                logits = target.logits(found, labels)
                best.update(found, logits, self.loss(logits, labels), labels)
        return best.images
