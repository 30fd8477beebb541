"""Carlini and Wagner's L2 attack: the smallest perturbation that fools, by bisection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sparsedef.attacks.ball import per_image
from sparsedef.attacks.base import Attack, misclassified
from sparsedef.attacks.inputs import check_positive
from sparsedef.attacks.losses import margin
from sparsedef.attacks.target import Target
from sparsedef.solvers.checks import check_count

LARGEST_WEIGHT = 1e10


@dataclass
class _Found:
    """The best of each image over all rounds: closest if it fools, else nearest to fooling."""

    images: Tensor  # [B, C, H, W]
    squared: Tensor  # [B], squared L2 distance of the closest that fools; inf if none does
    margin: Tensor  # [B], largest margin seen where none does

    def update(
        self, rows: Tensor, images: Tensor, squared: Tensor, gain: Tensor, wrong: Tensor
    ) -> None:
        """Takes over better points for the images numbered ``rows`` ``[R]``."""
        closer = wrong & (squared < self.squared[rows])
        nearer = ~wrong & torch.isinf(self.squared[rows]) & (gain > self.margin[rows])
        taken = closer | nearer
        self.images[rows[taken]] = images[taken]
        self.squared[rows[closer]] = squared[closer]
        self.margin[rows[nearer]] = gain[nearer]


class CWL2(Attack):
    """Looks for the nearest image in L2 that is misclassified.

    Minimises ``||x' - x||_2^2 + c * max(z_true - max_other + confidence, 0)`` over ``w`` with
    ``x' = (tanh(w) + 1) / 2`` by Adam, and finds ``c`` per image by bisection: up tenfold while
    it fails, then between the largest that failed and the smallest that worked. Images that are
    misclassified from the start come back unchanged. An image for which nothing works comes back
    as the point nearest to misclassification, with ``success`` false.

    The reported ``distance`` answers every L2 budget at once: an image falls at budget ``d`` if
    its distance is at most ``d``.

    Args:
        steps: Adam steps per bisection round.
        rounds: Bisection rounds.
        learning_rate: Of Adam.
        confidence: Margin to reach, ``kappa`` in the paper.
        first_weight: First ``c``.
        abort_early: Stop an image's round when its objective has not fallen by 0.01% over a
            tenth of the steps.
        seed: Of a random model's draws.
        draws: How often a random model is asked, per step.

    Source: Carlini, Wagner, 2017; the schedule is CleverHans'.
    """

    needs_eps: ClassVar[bool] = False

    def __init__(
        self,
        *,
        steps: int = 1000,
        rounds: int = 5,
        learning_rate: float = 5e-3,
        confidence: float = 0.0,
        first_weight: float = 1e-2,
        abort_early: bool = True,
        seed: int = 0,
        draws: int = 20,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(None, norm="l2", seed=seed, draws=draws)
        self.steps = check_count(self.name, "steps", steps)
        self.rounds = check_count(self.name, "rounds", rounds)
        self.learning_rate = check_positive(self.name, "learning_rate", learning_rate)
        self.first_weight = check_positive(self.name, "first_weight", first_weight)
        if not confidence >= 0:
            raise ValueError(f"{self.name}: confidence must be >= 0, got {confidence}")
        self.confidence = float(confidence)
        self.abort_early = abort_early

    def perturb(
        self,
        target: Target,
        images: Tensor,
        labels: Tensor,
        start: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Searches; see the class."""
        logits = target.logits(images, labels)
        gain = margin(logits, labels)
        fallen = misclassified(logits, labels)
        infinite = torch.full_like(gain, torch.inf)
        found = _Found(images.clone(), torch.where(fallen, 0.0, infinite), gain)
        weight = torch.full_like(gain, self.first_weight)
        low, high = torch.zeros_like(gain), torch.full_like(gain, LARGEST_WEIGHT)
        rows = torch.nonzero(~fallen)[:, 0]
        first = torch.atanh(0.999999 * (2 * (images if start is None else start) - 1))
        for _ in range(self.rounds):
            fooled = self._round(target, images, labels, first, weight, rows, found)
            high = torch.where(fooled, torch.minimum(high, weight), high)
            low = torch.where(fooled, low, torch.maximum(low, weight))
            weight = torch.where(high < LARGEST_WEIGHT, (low + high) / 2, weight * 10)
        return found.images

    def _round(
        self,
        target: Target,
        images: Tensor,
        labels: Tensor,
        point: Tensor,
        weight: Tensor,
        rows: Tensor,
        found: _Found,
    ) -> Tensor:
        """Runs Adam from ``point`` at fixed ``weight`` ``[B]`` on the images ``rows``.

        Returns:
            Which images were fooled, ``[B]`` bool.
        """
        fooled = torch.zeros_like(labels, dtype=torch.bool)
        clean, label, cost, point = images[rows], labels[rows], weight[rows], point[rows]
        first, second = torch.zeros_like(point), torch.zeros_like(point)
        reference = torch.full_like(cost, torch.inf)
        patience = max(1, self.steps // 10)
        for step in range(1, self.steps + 1):
            if rows.numel() == 0:
                break
            attacked = (torch.tanh(point) + 1) / 2
            logits, gain, grad = target.probe(attacked, label, margin)
            delta = attacked - clean
            squared = delta.flatten(1).square().sum(1)
            wrong = misclassified(logits, label) & (gain >= self.confidence)
            found.update(rows, attacked, squared, gain, wrong)
            fooled[rows[wrong]] = True
            # d objective / d point; the penalty pulls only below the wanted margin
            pull = cost * (gain < self.confidence)
            slope = (2 * delta - per_image(pull) * grad) * 2 * attacked * (1 - attacked)
            first = 0.9 * first + 0.1 * slope
            second = 0.999 * second + 0.001 * slope.square()
            scale = (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
            point = point - self.learning_rate * scale * first / (second.sqrt() + 1e-8)
            if self.abort_early and step % patience == 0:
                objective = squared + cost * (self.confidence - gain).clamp_min(0)
                live = objective <= 0.9999 * reference
                reference = objective[live]
                rows, clean, label, cost = rows[live], clean[live], label[live], cost[live]
                point, first, second = point[live], first[live], second[live]
        return fooled


def rescale(images: Tensor, attacked: Tensor, length: Tensor) -> Tensor:
    """Stretches each perturbation to L2 length ``length`` ``[B]`` and clips to [0, 1].

    With ``length`` above the perturbation's own this is the strengthening by ``tau >= 1`` with
    which minimal attacks are tried on a classifier that they were not made on. Unchanged images
    stay unchanged.
    """
    delta = attacked - images
    own = delta.flatten(1).norm(dim=1)
    return (images + per_image(length / own.clamp_min(1e-12)) * delta).clamp(0, 1)
