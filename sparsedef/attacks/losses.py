"""What an attack climbs: losses per image, higher when the classifier is more wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from sparsedef.solvers.checks import check_choice

Loss = Callable[[Tensor, Tensor], Tensor]


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


LOSSES: Mapping[str, Loss] = {"ce": cross_entropy, "margin": margin}


def find_loss(who: str, name: str) -> Loss:
    """Returns the loss called ``name``; raises ``ValueError`` with the known names."""
    check_choice(who, "loss", name, tuple(LOSSES))
    return LOSSES[name]
