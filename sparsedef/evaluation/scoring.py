"""Final scores: what is right after an attack, asked again and again where answers are random."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sparsedef.attacks import AttackResult, evaluation_mode, rescale


@dataclass(frozen=True)
class Outcome:
    """How often each sample was classified rightly.

    Args:
        right: Right answers of ``draws``, per sample, ``[B]`` int64.
        draws: How often each sample was asked.
    """

    right: Tensor
    draws: int

    @property
    def correct(self) -> str:
        """``"1"`` where more than half of the draws are right, else ``"0"``."""
        return "".join("1" if is_right else "0" for is_right in (2 * self.right > self.draws))

    @property
    def right_draws(self) -> int:
        """Right answers over all samples."""
        return int(self.right.sum())

    @property
    def always(self) -> int:
        """Samples that are right in every draw."""
        return int((self.right == self.draws).sum())

    def with_fallen(self, fallen: Tensor) -> Outcome:
        """Counts the samples ``fallen`` ``[B]`` bool as wrong in every draw."""
        return replace(self, right=torch.where(fallen, 0, self.right))


def score(
    model: nn.Module, images: Tensor, labels: Tensor, *, draws: int = 1, seed: int = 0
) -> Outcome:
    """Asks ``model``, in evaluation mode, about images ``[B, C, H, W]``, ``draws`` times.

    A logit that is NaN or infinite counts as wrong: who does not answer has not withstood. The
    caller's random state is left alone.
    """
    right = torch.zeros_like(labels)
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=devices), evaluation_mode(model):
        torch.manual_seed(seed)
        for _ in range(draws):
            logits = model(images)
            right += (logits.argmax(1) == labels) & torch.isfinite(logits).all(1)
    return Outcome(right, draws)


def at_length(images: Tensor, attacked: Tensor, length: float) -> Tensor:
    """Stretches or shrinks each perturbation to L2 length ``length``, and clips to [0, 1]."""
    return rescale(images, attacked, images.new_full((len(images),), length))


def fell_within(result: AttackResult, length: float) -> Tensor:
    """Says which images fell to a perturbation no longer than ``length``, ``[B]`` bool."""
    return result.success & (result.distance <= length)
