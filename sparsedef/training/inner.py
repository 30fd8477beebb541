"""The inner maximisation of adversarial training: a few signed steps in an linf ball."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.solvers.checks import check_count
from sparsedef.training.step import Step

# model, images [B, C, H, W], labels [B], step: to attacked images [B, C, H, W]
Perturb = Callable[[nn.Module, Tensor, Tensor, Step], Tensor]


@dataclass(frozen=True)
class LinfAscent:
    """Raises a loss by signed steps, projected onto the linf ball and [0, 1].

    Per step: ``x <- clip(x + step_size * sign(gradient))``, to ``[image - eps, image + eps]`` and
    to [0, 1]. The model is in evaluation mode meanwhile, and its parameters' gradients are left
    alone. Calling it attacks the cross-entropy from a uniform random point of the ball.

    Args:
        eps: Radius, in pixel units of [0, 1].
        steps: Number of steps.
        step_size: Length of a step.

    Raises:
        ValueError: A number is out of range.

    Source: Madry, Makelov, Schmidt, Tsipras, Vladu, 2018.
    """

    eps: float
    steps: int
    step_size: float

    def __post_init__(self) -> None:
        """Checks the numbers."""
        check_count("LinfAscent", "steps", self.steps)
        if not 0 <= self.eps <= 1:
            hint = " (255ths? divide by 255)" if self.eps > 1 else ""
            raise ValueError(f"LinfAscent: eps must be from 0 to 1, got {self.eps}{hint}")
        if not 0 <= self.step_size < math.inf:
            raise ValueError(f"LinfAscent: step_size must be finite and >= 0, got {self.step_size}")

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, step: Step) -> Tensor:
        """Raises the cross-entropy of ``labels`` ``[B]``: attacked images ``[B, C, H, W]``."""
        start = self.random_start(images, step)

        def loss(logits: Tensor) -> Tensor:
            return functional.cross_entropy(logits, labels, reduction="sum")

        return self.climb(model, images, start, loss)

    def random_start(self, images: Tensor, step: Step) -> Tensor:
        """Draws a point of the linf ball of each image, uniformly; it may lie outside [0, 1]."""
        return images + self.eps * (2 * step.rand_like(images) - 1)

    def climb(
        self, model: nn.Module, images: Tensor, start: Tensor, loss: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Raises any loss of the model's outputs, from ``start``.

        Args:
            model: Images to outputs.
            images: Centre of the ball, ``[B, C, H, W]`` in [0, 1].
            start: Where to begin, ``[B, C, H, W]``; brought into the ball first.
            loss: Outputs to a scalar, by custom the sum over images.

        Returns:
            Attacked images ``[B, C, H, W]``, without a gradient.
        """
        images = images.detach()
        low, high = (images - self.eps).clamp_min(0), (images + self.eps).clamp_max(1)
        attacked = start.detach().clamp(low, high)
        with evaluation_mode(model), torch.enable_grad():
            for _ in range(self.steps):
                attacked.requires_grad_()
                (grad,) = torch.autograd.grad(loss(model(attacked)), attacked)
                attacked = (attacked.detach() + self.step_size * grad.sign()).clamp(low, high)
        return attacked


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Puts a model in evaluation mode, and each of its parts back afterwards."""
    modes = {part: part.training for part in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for part, is_training in modes.items():
            part.training = is_training
