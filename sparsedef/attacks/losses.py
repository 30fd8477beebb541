"""What an attack climbs: losses per image, higher when the classifier is more wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from sparsedef.solvers.checks import check_choice

Loss = Callable[[Tensor, Tensor], Tensor]
# logits [B, classes], labels [B], the wrong class aimed at [B]
TargetedLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy per image: logits ``[B, classes]``, labels ``[B]`` to ``[B]``."""
    return functional.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Best wrong logit minus the true one, per image: positive exactly when it is misclassified.

    Unlike cross-entropy it cannot saturate, so its gradient does not vanish on a confident model.

    Source: Carlini, Wagner, 2017.
    """
    true = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.amax(1) - true


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """Difference of logits ratio, per image: the margin in units of the logits' own spread.

    ``-(z_y - max_{i != y} z_i) / (z_(1) - z_(3))``, ``z_(k)`` the k-th largest logit: unchanged
    when all logits are shifted, or scaled by a positive number, so no confidence hides from it.

    Raises:
        ValueError: There are fewer than 3 classes.

    Source: Croce, Hein, 2020.
    """
    _need_classes("dlr", logits)
    return margin(logits, labels) / _spread(logits, last=3)


def targeted_margin(logits: Tensor, labels: Tensor, wrong: Tensor) -> Tensor:
    """Logit of the class ``wrong`` ``[B]`` minus the true one, per image."""
    aim = logits.gather(1, wrong[:, None])[:, 0]
    return aim - logits.gather(1, labels[:, None])[:, 0]


def targeted_dlr(logits: Tensor, labels: Tensor, wrong: Tensor) -> Tensor:
    """Difference of logits ratio towards the class ``wrong`` ``[B]``, per image.

    ``-(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2)``; among 3 classes, where there is no fourth,
    ``z_(3)`` stands for both.

    Raises:
        ValueError: There are fewer than 3 classes.

    Source: Croce, Hein, 2020.
    """
    _need_classes("targeted dlr", logits)
    return targeted_margin(logits, labels, wrong) / _spread(logits, last=4)


def _need_classes(who: str, logits: Tensor) -> None:
    if logits.shape[1] < 3:
        raise ValueError(
            f"{who} loss: the model must return at least 3 classes, got {logits.shape[1]} "
            f"(pass loss='margin')"
        )


def _spread(logits: Tensor, *, last: int) -> Tensor:
    """Largest logit minus the mean of the third to the ``last`` largest, never 0: ``[B]``."""
    ordered = logits.topk(min(last, logits.shape[1]), dim=1).values
    return ordered[:, 0] - ordered[:, 2:].mean(1) + 1e-12


LOSSES: Mapping[str, Loss] = {"ce": cross_entropy, "margin": margin, "dlr": dlr}
TARGETED_LOSSES: Mapping[str, TargetedLoss] = {"dlr": targeted_dlr, "margin": targeted_margin}


def find_loss(who: str, name: str) -> Loss:
    """Returns the loss called ``name``; raises ``ValueError`` with the known names."""
    check_choice(who, "loss", name, tuple(LOSSES))
    return LOSSES[name]


def find_targeted_loss(who: str, name: str) -> TargetedLoss:
    """Returns the targeted loss called ``name``; raises ``ValueError`` with the known names."""
    check_choice(who, "loss", name, tuple(TARGETED_LOSSES))
    return TARGETED_LOSSES[name]
