"""What an attack without gradients sees: a loss per image, and which images have fallen."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sparsedef.attacks.base import misclassified
from sparsedef.attacks.losses import Loss
from sparsedef.attacks.target import Target


class Score(NamedTuple):
    """One query per image: its loss, and whether it needs no further query, both ``[B]``."""

    loss: Tensor
    is_fallen: Tensor


def ask(target: Target, images: Tensor, labels: Tensor, loss: Loss) -> Score:
    """Shows ``images`` ``[B, C, H, W]`` to the model once, without a gradient.

    The loss of a random model is averaged over its draws, and an image has fallen only where all
    of them are wrong: one lucky draw, or a bare majority, must not end the search. A loss that is
    NaN counts as infinite, as everywhere: a classifier that does not answer has not withstood.
    """
    drawn = target.all_logits(images, labels)
    value = torch.stack([loss(logits, labels) for logits in drawn]).mean(0).to(images.dtype)
    value = torch.where(torch.isnan(value), torch.inf, value)
    return Score(value, misclassified(drawn, labels).all(0))
