"""Targeted Auto-PGD: one run towards each of the likeliest wrong classes."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.attacks.apgd import APGD, Objective
from sparsedef.attacks.inputs import Norm
from sparsedef.attacks.losses import Loss, TargetedLoss, find_targeted_loss
from sparsedef.attacks.target import Target
from sparsedef.solvers.checks import check_count


def likeliest_wrong(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    """Ranks the wrong classes: logits ``[B, classes]`` to ``[B, min(count, classes - 1)]``."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.topk(min(count, logits.shape[1] - 1), dim=1).indices


class APGDTargeted(APGD):
    """Climbs by ``APGD`` towards each of the ``n_targets`` likeliest wrong classes in turn.

    The classes are ranked by the logits of the clean image. Where the untargeted losses follow
    the leading wrong class wherever it leads, this also tries the ways that first go down. The
    first class is tried on every image, each next one on those that still stand; of an image
    that never falls, the point of largest margin is kept.

    Args:
        eps: Radius, in pixel units of [0, 1].
        norm: ``"linf"`` or ``"l2"``.
        steps: Number of gradients per run.
        restarts: Number of random starts per class; a given start replaces the first of each.
        n_targets: Number of classes tried, at most the number of classes less one.
        loss: ``"dlr"`` or ``"margin"``, in their targeted forms; ``"dlr"`` needs 3 classes.
        seed: Of the starts, and of a random model's draws.
        draws: How often a random model is asked, per step.

    Source: Croce, Hein, 2020.
    """

    def __init__(
        self,
        eps: float,
        *,
        norm: Norm = "linf",
        steps: int = 100,
        restarts: int = 1,
        n_targets: int = 9,
        loss: str = "dlr",
        seed: int = 0,
        draws: int = 20,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        # runs towards different classes are comparable by what they all want: the margin
        super().__init__(
            eps, norm=norm, steps=steps, restarts=restarts, loss="margin", seed=seed, draws=draws
        )
        self.n_targets = check_count(self.name, "n_targets", n_targets)
        self.targeted_loss = find_targeted_loss(self.name, loss)

    def objectives(self, target: Target, images: Tensor, labels: Tensor) -> list[Objective]:
        """One per class tried, the likeliest first."""
        wrong = likeliest_wrong(target.logits(images, labels), labels, self.n_targets)
        return [_towards(self.targeted_loss, classes) for classes in wrong.unbind(1)]


def _towards(loss: TargetedLoss, wrong: Tensor) -> Objective:
    """Aims ``loss`` at the classes ``wrong`` ``[B]``, for any rows of the batch."""

    def aimed(rows: Tensor) -> Loss:
        return lambda logits, labels: loss(logits, labels, wrong[rows])

    return aimed
