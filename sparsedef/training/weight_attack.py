"""Adversarial weight perturbation: train at the worst weights nearby, not at those one has."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]


def perturbed_weights(model: nn.Module, loss: Callable[[Weights], Tensor], gamma: float) -> Weights:
    """Moves each weight matrix to where the loss is higher, by ``gamma`` times its own norm.

    ``w + gamma * ||w|| * g / ||g||`` with ``g`` the gradient of ``loss`` at ``w``; one step. What
    has fewer than two dimensions (biases, normalisation) stays, and so does what has no gradient.

    Args:
        model: Whose parameters; they are not changed.
        loss: Of the parameters by name.
        gamma: Radius, relative to each matrix's norm; 5e-3 by custom.

    Returns:
        The parameters by name. A gradient with respect to them reaches the model's own, so that
        a descent from the model's weights uses the gradient at the perturbed ones.

    Raises:
        ValueError: ``gamma`` is not positive.

    Source: Wu, Xia, Wang, 2020.
    """
    if not gamma > 0:
        raise ValueError(f"perturbed_weights: gamma must be above 0, got {gamma}")
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    moving = [name for name, parameter in named.items() if parameter.ndim > 1]
    at = {name: parameter.detach().requires_grad_() for name, parameter in named.items()}
    with torch.enable_grad():
        gradients = torch.autograd.grad(loss(at), [at[name] for name in moving], allow_unused=True)
    found: Weights = dict(named)
    for name, gradient in zip(moving, gradients, strict=True):
        if gradient is None:
            continue
        weight, length = named[name], gradient.norm()
        scale = torch.where(length > 0, gamma * weight.detach().norm() / length, length)
        found[name] = weight + scale * gradient
    return found
