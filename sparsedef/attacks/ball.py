"""The set of images that an attack may reach: a norm ball around each image, inside [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsedef.attacks.inputs import Norm


def per_image(values: Tensor) -> Tensor:
    """Reshapes one number per image, ``[B]``, to ``[B, 1, 1, 1]``."""
    return values.reshape(-1, 1, 1, 1)


def distance(images: Tensor, other: Tensor, norm: Norm) -> Tensor:
    """Measures how far apart two batches ``[B, C, H, W]`` are, per image, ``[B]``."""
    delta = (other - images).flatten(1)
    if delta.shape[1] == 0:
        return delta.new_zeros(delta.shape[0])
    return delta.abs().amax(1) if norm == "linf" else delta.norm(dim=1)


@dataclass(frozen=True)
class Ball:
    """All images in [0, 1] within ``eps`` of ``centre`` ``[B, C, H, W]`` in ``norm``."""

    centre: Tensor
    eps: float
    norm: Norm

    def project(self, images: Tensor) -> Tensor:
        """Brings ``images`` ``[B, C, H, W]`` into the ball and into [0, 1].

        For linf this is the nearest point. For L2 it scales the perturbation, then clips: both
        steps only shorten it, so the result is inside, if not always the nearest point.
        """
        if self.norm == "linf":
            low, high = self.centre - self.eps, self.centre + self.eps
            return torch.maximum(torch.minimum(images, high), low).clamp(0, 1)
        delta = images - self.centre
        length = delta.flatten(1).norm(dim=1)
        scale = torch.where(length > self.eps, self.eps / length.clamp_min(1e-30), 1.0)
        return (self.centre + per_image(scale) * delta).clamp(0, 1)

    def steepest(self, grad: Tensor) -> Tensor:
        """Turns a gradient into the unit step that gains most: its sign, or ``g / ||g||_2``."""
        if self.norm == "linf":
            return grad.sign()
        return grad / per_image(grad.flatten(1).norm(dim=1).clamp_min(1e-30))

    def random_start(self, generator: torch.Generator) -> Tensor:
        """Draws a uniform point of the ball, clipped to [0, 1]."""
        noise = torch.rand(
            self.centre.shape, generator=generator, dtype=self.centre.dtype,
            device=self.centre.device,
        )  # fmt: skip
        if self.norm == "linf":
            return self.project(self.centre + self.eps * (2 * noise - 1))
        # uniform in an n-ball: a Gaussian direction times radius * u^(1/n)
        direction = torch.randn(
            self.centre.shape, generator=generator, dtype=self.centre.dtype,
            device=self.centre.device,
        )  # fmt: skip
        n_pixels = self.centre[0].numel()
        radius = self.eps * noise[:, 0, 0, 0] ** (1 / n_pixels)
        return self.project(self.centre + per_image(radius) * self.steepest(direction))

    def contains(self, images: Tensor, *, slack: float = 1e-5) -> bool:
        """Says whether every image is in the ball and in [0, 1]; ``slack`` is for rounding."""
        if images.shape != self.centre.shape or not bool(torch.isfinite(images).all()):
            return False
        if images.numel() == 0:
            return True
        within = distance(self.centre, images, self.norm) <= self.eps * (1 + slack) + slack * 0.1
        return bool(within.all()) and images.min().item() >= 0 and images.max().item() <= 1
