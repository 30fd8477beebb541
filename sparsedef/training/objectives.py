"""What training a classifier minimises: the loss of clean images, or of attacked ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.training.inner import LinfAscent, Perturb, evaluation_mode
from sparsedef.training.step import Step


class Objective(Protocol):
    """A loss of a classifier. Its ``repr`` tells all its settings (a dataclass's does)."""

    @property
    def perturb(self) -> Perturb | None:
        """The attack that it trains against, if it does."""

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, step: Step) -> Tensor:
        """Gives the mean loss of images ``[B, C, H, W]`` with labels ``[B]``; a scalar."""


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy of images, attacked first if there is an attack.

    Minimises ``mean CE(model(x'), y)`` with ``x' = perturb(model, x, y)``, or ``x' = x``.

    Args:
        perturb: The inner maximisation: ``LinfAscent``, or any function of model, images, labels
            and ``Step`` that returns attacked images.
    """

    perturb: Perturb | None = None

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, step: Step) -> Tensor:
        """Gives the mean loss of images ``[B, C, H, W]`` with labels ``[B]``."""
        if self.perturb is not None:
            images = self.perturb(model, images, labels, step)
        return functional.cross_entropy(model(images), labels)


@dataclass(frozen=True)
class TRADES:
    """Clean cross-entropy, and how far an attack can move the answer.

    Minimises ``mean CE(model(x), y) + beta * mean KL(p(x) || p(x'))`` with p the softmax of the
    logits, where x' maximises that divergence: ``perturb``'s steps from ``x`` plus normal noise of
    deviation 0.001 (at ``x`` itself the gradient is zero). Both p's are differentiated.

    Args:
        perturb: The inner maximisation.
        beta: Weight of the divergence.

    Source: Zhang, Yu, Jiao, Xing, El Ghaoui, Jordan, 2019.
    """

    perturb: LinfAscent
    beta: float = 6.0

    def attack(self, model: nn.Module, images: Tensor, step: Step) -> Tensor:
        """Raises the divergence: attacked images ``[B, C, H, W]``."""
        with evaluation_mode(model), torch.no_grad():
            answer = model(images).log_softmax(1)

        def divergence(logits: Tensor) -> Tensor:
            return _divergence(answer, logits.log_softmax(1), "sum")

        start = images + 0.001 * step.randn_like(images)
        return self.perturb.climb(model, images, start, divergence)

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, step: Step) -> Tensor:
        """Gives the mean loss of images ``[B, C, H, W]`` with labels ``[B]``."""
        attacked = self.attack(model, images, step)
        logits = model(images)
        moved = _divergence(logits.log_softmax(1), model(attacked).log_softmax(1), "batchmean")
        return functional.cross_entropy(logits, labels) + self.beta * moved


def _divergence(answer: Tensor, other: Tensor, reduction: str) -> Tensor:
    """KL(p || q) of log p and log q, ``[B, classes]`` each."""
    return functional.kl_div(other, answer, reduction=reduction, log_target=True)


def standard(eps: float) -> CrossEntropy:
    """Plain training; ``eps`` is not used."""
    return CrossEntropy()


def fgsm_at(eps: float) -> CrossEntropy:
    """Adversarial training by one step of 1.25 eps from a random start.

    The start and the longer step are against catastrophic overfitting, in which the network
    learns to mask the gradient of that one step; look at its accuracy under PGD all the same.

    Source: Wong, Rice, Kolter, 2020.
    """
    return CrossEntropy(LinfAscent(eps, 1, 1.25 * eps))


def pgd_at(eps: float) -> CrossEntropy:
    """Adversarial training by 10 steps of eps / 4 from a random start: 2/255 at eps 8/255.

    Source: Madry, Makelov, Schmidt, Tsipras, Vladu, 2018.
    """
    return CrossEntropy(_pgd_10(eps))


def trades(eps: float) -> TRADES:
    """TRADES with its usual weight 6 and the steps of ``pgd_at``."""
    return TRADES(_pgd_10(eps))


def _pgd_10(eps: float) -> LinfAscent:
    return LinfAscent(eps, 10, eps / 4)


OBJECTIVES: Mapping[str, Callable[[float], Objective]] = {
    "standard": standard,
    "fgsm_at": fgsm_at,
    "pgd_at": pgd_at,
    "trades": trades,
}
