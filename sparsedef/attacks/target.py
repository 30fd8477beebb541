"""The classifier as an attack sees it: logits, gradients, and how healthy those gradients are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sparsedef.attacks.inputs import check_logits
from sparsedef.attacks.losses import Loss

Model = Callable[[Tensor], Tensor]


@dataclass
class GradientHealth:
    """How many gradients an attack asked for, and how many were useless, per step.

    ``asked[i]`` images had a gradient taken at step ``i``; ``zero[i]`` of them were exactly zero
    everywhere, ``nonfinite[i]`` held NaN or infinity (those entries are then taken as zero).
    """

    asked: list[int] = field(default_factory=list)
    zero: list[int] = field(default_factory=list)
    nonfinite: list[int] = field(default_factory=list)

    def record(self, grad: Tensor) -> Tensor:
        """Counts one step's gradients ``[B, C, H, W]`` and returns them with NaN set to zero."""
        flat = grad.flatten(1)
        bad = ~torch.isfinite(flat)
        self.asked.append(flat.shape[0])
        self.zero.append(int((flat == 0).all(1).sum()))
        self.nonfinite.append(int(bad.any(1).sum()))
        return torch.where(bad, 0.0, flat).view_as(grad) if self.nonfinite[-1] else grad

    def add(self, other: GradientHealth) -> None:
        """Appends the steps of ``other``, for an attack that ran in batches."""
        self.asked += other.asked
        self.zero += other.zero
        self.nonfinite += other.nonfinite


class Probe(NamedTuple):
    """One look at the target: logits ``[B, classes]``, loss ``[B]``, gradient ``[B, C, H, W]``."""

    logits: Tensor
    loss: Tensor
    grad: Tensor


def owner(model: Model) -> object:
    """Returns the module behind ``model``, also when ``model`` is one of its methods."""
    return getattr(model, "__self__", model)


@contextmanager
def evaluation_mode(*models: Model) -> Iterator[None]:
    """Puts the modules behind ``models`` in evaluation mode, and each part back afterwards."""
    modes: dict[nn.Module, bool] = {}
    for model in models:
        module = owner(model)
        if isinstance(module, nn.Module):
            for part in module.modules():
                modes.setdefault(part, part.training)
    for part in modes:
        part.training = False
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


class Target:
    """What an attack may ask: logits of the model it must fool, and gradients to climb.

    Args:
        model: Images ``[B, C, H, W]`` to logits ``[B, classes]``: decides what counts as fooled.
        gradient_model: What is differentiated. ``None``: ``model`` itself, or its ``surrogate``
            if it says that its own gradient is not exact. A method of ``model`` is taken to give
            the model's own logits, and spares asking it twice.
        draws: How often a model that says ``is_random`` is asked; its answers are averaged.
        who: Name of the attack, for messages.
    """

    def __init__(self, model: Model, gradient_model: Model | None, *, draws: int, who: str) -> None:
        """Checks and keeps the settings; see the class."""
        if gradient_model is None and not getattr(owner(model), "has_exact_gradient", True):
            gradient_model = getattr(owner(model), "surrogate", None)
        self.model = model
        self.gradient_model = gradient_model
        self.draws = draws if getattr(owner(model), "is_random", False) else 1
        is_random = getattr(owner(gradient_model or model), "is_random", False)
        self.gradient_draws = draws if is_random else 1
        self.has_true_logits = owner(gradient_model or model) is owner(model)
        self.health = GradientHealth()
        self.who = who

    def all_logits(self, images: Tensor, labels: Tensor) -> Tensor:
        """Asks the model without a gradient: ``[draws, B, classes]``."""
        with torch.no_grad():
            drawn = torch.stack([self.model(images) for _ in range(self.draws)])
        check_logits(self.who, drawn[0], labels)
        return drawn

    def logits(self, images: Tensor, labels: Tensor) -> Tensor:
        """The model's logits ``[B, classes]``, averaged over its draws."""
        return self.all_logits(images, labels).mean(0)

    def probe(self, images: Tensor, labels: Tensor, loss: Loss) -> Probe:
        """Takes the gradient of ``loss`` per image, averaged over the draws of a random model.

        Only the images get a gradient: the model's parameters keep the ``.grad`` they have.
        """
        differentiated = self.gradient_model or self.model
        images = images.detach().requires_grad_(True)
        total = Probe(*(images.new_zeros(()) for _ in range(3)))
        for _ in range(self.gradient_draws):
            with torch.enable_grad():
                logits = differentiated(images)
                check_logits(self.who, logits, labels)
                per_image = loss(logits, labels)
                self._check_differentiable(per_image)
                (grad,) = torch.autograd.grad(per_image.sum(), images)
            one = (logits.detach(), per_image.detach(), grad)
            total = Probe(*(a + b / self.gradient_draws for a, b in zip(total, one, strict=True)))
        grad = self.health.record(total.grad)
        if self.has_true_logits:
            return Probe(total.logits, total.loss, grad)
        logits = self.logits(images.detach(), labels)
        return Probe(logits, loss(logits, labels), grad)

    def _check_differentiable(self, loss: Tensor) -> None:
        if not loss.requires_grad:
            raise ValueError(
                f"{self.who}: the model's logits must depend on the images differentiably, got a "
                f"constant (a torch.no_grad inside? pass gradient_model=a surrogate)"
            )
