"""What an attack is: it fools a classifier within a budget, and proves that it kept to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from sparsedef.attacks.ball import Ball, distance
from sparsedef.attacks.inputs import Norm, check_eps, check_images, check_labels
from sparsedef.attacks.target import GradientHealth, Model, Target, evaluation_mode
from sparsedef.solvers.checks import check_choice, check_count


@dataclass(frozen=True)
class AttackResult:
    """What an attack found.

    Args:
        images: Attacked images ``[B, C, H, W]`` in [0, 1], within the budget.
        error_rate: Share of the model's draws that misclassify each image, ``[B]``; 0 or 1 when
            the model is deterministic.
        distance: Size of each perturbation in the attack's norm, ``[B]``.
        health: Counts of zero and NaN gradients, per step.
    """

    images: Tensor
    error_rate: Tensor
    distance: Tensor
    health: GradientHealth

    @property
    def success(self) -> Tensor:
        """Whether each image is misclassified by more than half of the draws, ``[B]`` bool."""
        return self.error_rate > 0.5


class Attack(ABC):
    """Fools a classifier by changing its images within a budget.

    An attack is called with the classifier, images and labels. The call is the same for all:
    it checks, seeds, puts the model in evaluation mode for the time being, lets the subclass
    ``perturb``, then projects onto the budget and proves that it holds. A model that says
    ``is_random`` is asked ``draws`` times per look and its gradients are averaged
    (expectation over transformation; Athalye et al., 2018). An attack by scores alone says
    ``uses_gradient = False``; its ``health`` stays empty.

    Args:
        eps: Radius of the budget, in pixel units of [0, 1]; ``None`` for no limit, where the
            subclass says ``needs_eps = False`` (it looks for the smallest perturbation).
        norm: ``"linf"`` or ``"l2"``.
        seed: Of the attack's own randomness and, during the attack, the model's.
        draws: How often a random model is asked.

    Raises:
        ValueError: An argument is out of range; the message says which.
    """

    needs_eps: ClassVar[bool] = True
    uses_gradient: ClassVar[bool] = True

    def __init__(
        self, eps: float | None, *, norm: Norm = "linf", seed: int = 0, draws: int = 20
    ) -> None:
        """Checks and keeps the settings; see the class."""
        check_choice(self.name, "norm", norm, ("linf", "l2"))
        self.norm: Norm = norm
        if eps is None and self.needs_eps:
            raise TypeError(f"{self.name}: eps must be a number, got None")
        self.eps = None if eps is None else check_eps(self.name, eps, self.norm)
        self.seed = seed
        self.draws = check_count(self.name, "draws", draws)

    @property
    def name(self) -> str:
        """The class's name, for messages."""
        return type(self).__name__

    @property
    def radius(self) -> float:
        """``eps`` of an attack that has one."""
        assert self.eps is not None
        return self.eps

    @abstractmethod
    def perturb(
        self,
        target: Target,
        images: Tensor,
        labels: Tensor,
        start: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Returns the attacked images ``[B, C, H, W]``; the caller projects them on the budget.

        Args:
            target: Answers with logits and gradients, and counts what was wrong with them.
            images: Clean images ``[B, C, H, W]`` in [0, 1], at least one.
            labels: True classes, ``[B]`` int64.
            start: Where to begin, within the budget; ``None``: where this attack usually does.
            generator: The only source of randomness to use.
        """

    @final
    def __call__(
        self,
        model: Model,
        images: Tensor,
        labels: Tensor,
        *,
        gradient_model: Model | None = None,
        start: Tensor | None = None,
    ) -> AttackResult:
        """Attacks ``model`` on each image.

        Args:
            model: Images ``[B, C, H, W]`` in [0, 1] to logits ``[B, classes]``.
            images: Clean images, float32 or float64.
            labels: True classes, int64 ``[B]``.
            gradient_model: Differentiated in place of ``model`` (backward pass differentiable
                approximation); success is judged on ``model`` all the same.
            start: Images to begin from, such as what fooled another model; brought into the
                budget first. Where gradients mislead, this can be far stronger.

        Returns:
            ``AttackResult``; ``images`` are in [0, 1] and within ``eps`` of the clean ones.

        Raises:
            TypeError: Images are not float, or labels not int64.
            ValueError: A shape or range is wrong, or the model is not differentiable.
        """
        check_images(self.name, images)
        check_labels(self.name, labels, images)
        images = images.detach()
        if start is not None:
            start = self._check_start(start, images)
        target = Target(model, gradient_model, draws=self.draws, who=self.name)
        if images.shape[0] == 0:
            nothing = images.new_zeros(0)
            return AttackResult(images.clone(), nothing, nothing, target.health)
        generator = torch.Generator(device=images.device).manual_seed(self.seed)
        devices = [images.device] if images.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices=devices),
            evaluation_mode(model, *([] if gradient_model is None else [gradient_model])),
        ):
            torch.manual_seed(self.seed)
            found = self.perturb(target, images, labels, start, generator).detach()
            found = self._keep_to_budget(images, found)
            wrong = misclassified(target.all_logits(found, labels), labels)
        error_rate = wrong.to(images.dtype).mean(0)
        return AttackResult(found, error_rate, distance(images, found, self.norm), target.health)

    def _check_start(self, start: Tensor, images: Tensor) -> Tensor:
        check_images(f"{self.name}: start", start)
        if start.shape != images.shape or start.dtype != images.dtype:
            raise ValueError(
                f"{self.name}: start must be {list(images.shape)} {images.dtype} like the images, "
                f"got {list(start.shape)} {start.dtype}"
            )
        start = start.detach()
        return start if self.eps is None else Ball(images, self.eps, self.norm).project(start)

    def _keep_to_budget(self, images: Tensor, found: Tensor) -> Tensor:
        assert found.shape == images.shape, f"{self.name}.perturb changed the shape"
        if self.eps is None:
            found = found.clamp(0, 1)
            assert bool(torch.isfinite(found).all()), f"{self.name}.perturb returned NaN"
            return found
        ball = Ball(images, self.eps, self.norm)
        found = ball.project(found)
        assert ball.contains(found), f"{self.name} left its budget"
        return found


def misclassified(logits: Tensor, labels: Tensor) -> Tensor:
    """Says which answers are wrong: logits ``[..., B, classes]``, labels ``[B]`` to ``[..., B]``.

    NaN logits count as wrong: a classifier that does not answer has not withstood.
    """
    right = (logits.argmax(-1) == labels) & torch.isfinite(logits).all(-1)
    return ~right
