"""Backward pass differentiable approximation: the defense's answer, a surrogate's gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sparsedef.attacks.target import Model, owner

Surrogate = Callable[[Tensor], Tensor]


class BPDA(nn.Module):
    """Answers as ``defense`` does, and differentiates ``surrogate`` in its place.

    For a defense that cannot be differentiated, or whose gradient misleads. With ``L`` the loss,
    ``z = defense(x)`` and ``s`` the surrogate:

    - ``s`` gives logits: the gradient is ``(ds/dx)^T dL/dz``, ``dL/dz`` at the true ``z``;
    - ``s`` gives images: the defense cleans and then classifies, ``z = classifier(purify(x))``,
      and the gradient is ``(ds/dx)^T (d classifier / du)^T dL/dz`` at the true ``u = purify(x)``;
    - ``"identity"`` is ``s(x) = x``, right for what changes an image little: ``ds/dx = 1``.

    Attack it in the defense's place: ``attack(BPDA(defense, "identity"), images, labels)``. Its
    logits are the defense's own, so what counts as fooled is the same. It serves as
    ``gradient_model`` too, at the price of asking the defense twice per look.

    Args:
        defense: Images ``[B, C, H, W]`` in [0, 1] to logits ``[B, classes]``: a ``Defense``, a
            module, or any callable. If it has ``is_random``, attacks average over its draws.
        surrogate: ``"identity"``, or images ``[B, C, H, W]`` to images of that shape or to logits
            ``[B, classes]``. To give images, or ``"identity"``, the defense must have ``purify``
            and ``classifier``.

    Raises:
        TypeError: ``surrogate`` is not callable.
        ValueError: ``surrogate`` is another word, or the defense does not purify.

    Example:
        >>> def coarse(x: Tensor) -> Tensor:
        ...     return (4 * x).round().flatten(1)
        >>> x = torch.full((1, 1, 1, 2), 0.7, requires_grad=True)
        >>> logits = BPDA(coarse, lambda x: 4 * x.flatten(1))(x)
        >>> logits.tolist(), torch.autograd.grad(logits.sum(), x)[0].flatten().tolist()
        ([[3.0, 3.0]], [4.0, 4.0])

    Source: Athalye, Carlini, Wagner, 2018.
    """

    def __init__(self, defense: Model, surrogate: Surrogate | str) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__()
        if isinstance(surrogate, str):
            if surrogate != "identity":
                raise ValueError(
                    f"BPDA: surrogate must be 'identity' or a callable, got {surrogate!r}"
                )
            _demand_purifier(defense)
        elif not callable(surrogate):
            raise TypeError(
                f"BPDA: surrogate must be 'identity' or a callable, got {type(surrogate).__name__}"
            )
        self.defense = defense
        if owner(defense) is not defense:  # a method: its module must hear of `eval()` too
            self.defense_owner = owner(defense)
        # not called `surrogate`: of a Defense that gives logits
        self.approximation = _unchanged if isinstance(surrogate, str) else surrogate

    @property
    def is_random(self) -> bool:
        """Whether the defense says that it is."""
        return bool(getattr(owner(self.defense), "is_random", False))

    def forward(self, images: Tensor) -> Tensor:
        """Classifies ``images`` as the defense does: logits ``[B, classes]``."""
        if not torch.is_grad_enabled():
            return self.defense(images)
        approximate = self.approximation(images)
        if approximate.dim() == 2:
            with torch.no_grad():
                logits = self.defense(images)
            return _instead("logits", logits, approximate)
        purifier: Any = _demand_purifier(self.defense)
        with torch.no_grad():
            purified = purifier.purify(images)
        return purifier.classifier(_instead("images", purified, approximate))


class _Instead(torch.autograd.Function):
    """The value of one tensor with the gradient of another.

    Unlike ``exact + (approximate - approximate.detach())`` it keeps the value when the other is
    infinite or NaN, which must not pass for a classifier that failed.
    """

    @staticmethod
    def forward(ctx: Any, exact: Tensor, approximate: Tensor) -> Tensor:
        return exact.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, grads[0]


def _instead(what: str, exact: Tensor, approximate: Tensor) -> Tensor:
    """Gives ``exact`` with the gradient of ``approximate``, of the same shape."""
    if approximate.shape != exact.shape:
        raise ValueError(
            f"BPDA: the surrogate must return {what} {list(exact.shape)} as the defense does, "
            f"got {list(approximate.shape)}"
        )
    apply: Any = _Instead.apply  # some releases of torch annotate it
    value: Tensor = apply(exact, approximate)
    return value


def _demand_purifier(defense: Model) -> Model:
    """Returns ``defense`` if it cleans and then classifies; raises if it does not."""
    missing = [part for part in ("purify", "classifier") if not hasattr(defense, part)]
    if missing:
        raise ValueError(
            f"BPDA: for a surrogate of images the defense must have purify and classifier, "
            f"got {type(defense).__name__} without {' and '.join(missing)} "
            f"(pass a surrogate from images to logits)"
        )
    return defense


def _unchanged(images: Tensor) -> Tensor:
    return images
