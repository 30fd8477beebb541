"""What a defense is: a classifier that says honestly how it may be attacked."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from sparsedef.ops.library import is_traced

if TYPE_CHECKING:
    from typing_extensions import Self

IDENTITY = "identity"


class Defense(nn.Module, ABC):
    """A classifier of images ``[B, 3, H, W]`` in [0, 1] that resists attacks, or means to.

    A subclass gives ``logits`` and the facts that an attacker would find out anyway:

    - ``is_random``: the same image may get different logits; attacks then average over draws.
    - ``has_exact_gradient``: autograd through ``forward`` gives the derivative of what
      ``forward`` computes, almost everywhere. If not, attacks differentiate ``surrogate``.
    - ``notes``: in plain words, what a reader of its robustness must know.

    Args:
        classifier: Images ``[B, 3, H, W]`` in [0, 1] to logits ``[B, classes]``.
    """

    is_random: ClassVar[bool] = False
    has_exact_gradient: ClassVar[bool] = True
    notes: ClassVar[str] = ""

    def __init__(self, classifier: nn.Module) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__()
        self.classifier = classifier

    @classmethod
    @abstractmethod
    def fit(cls, classifier: nn.Module, images: Tensor, labels: Tensor, *, seed: int = 0) -> Self:
        """Builds the defense from clean training data, with its defaults for that image size.

        Args:
            classifier: What to defend.
            images: Clean training images ``[B, 3, H, W]`` in [0, 1].
            labels: Their classes, ``[B]`` int64.
            seed: Of everything random in building it.
        """

    @abstractmethod
    def logits(self, images: Tensor) -> Tensor:
        """Classifies checked images ``[B, 3, H, W]``: logits ``[B, classes]``."""

    def forward(self, images: Tensor) -> Tensor:
        """Classifies images: logits ``[B, classes]``; subclasses override ``logits``, not this.

        Raises:
            TypeError: Images are not float32 or float64.
            ValueError: They are not ``[B, 3, H, W]`` in [0, 1].
        """
        check_images(type(self).__name__, images)
        return self.logits(images)

    def surrogate(self, images: Tensor) -> Tensor:
        """The logits of ``forward``, with the gradient an attacker uses where that one misleads.

        Here the defense itself; a defense without an exact gradient must give its own.
        """
        assert self.has_exact_gradient, f"{type(self).__name__} must override surrogate"
        logits: Tensor = self(images)
        return logits

    @property
    def stand_in_names(self) -> tuple[str, ...]:
        """Names of what else an attack may differentiate in the defense's place.

        Each is a ``stand_in``: it aims at the defense's own mechanism, or checks its gradient.
        """
        return ()

    def stand_in(self, name: str, images: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
        """The stand-in of that name for one batch: images ``[B, 3, H, W]`` to logits.

        Args:
            name: One of ``stand_in_names``.
            images: The clean images ``[B, 3, H, W]`` that will be attacked.
            labels: Their classes, ``[B]`` int64.
        """
        raise ValueError(
            f"{type(self).__name__}: stand-in must be one of {list(self.stand_in_names)}, "
            f"got {name!r}"
        )


class Purifier(Defense):
    """A defense that cleans the image and then classifies it.

    One with an exact gradient has the identity as a stand-in, to check that gradient; without one,
    the surrogate, which may be the identity itself, is what attacks differentiate anyway.
    """

    @property
    def stand_in_names(self) -> tuple[str, ...]:
        """``"identity"`` where that is not the surrogate anyway, and what a subclass adds."""
        return (IDENTITY,) if self.has_exact_gradient else ()

    def stand_in(self, name: str, images: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
        """The identity, as ``Purifier.surrogate`` has it."""
        if name in self.stand_in_names and name == IDENTITY:
            return functools.partial(Purifier.surrogate, self)
        return super().stand_in(name, images, labels)

    @abstractmethod
    def purify(self, images: Tensor) -> Tensor:
        """Cleans images ``[B, 3, H, W]`` in [0, 1]; the result has the same shape and range."""

    def logits(self, images: Tensor) -> Tensor:
        """Classifies the cleaned images: logits ``[B, classes]``."""
        logits: Tensor = self.classifier(self.purify(images))
        return logits

    def surrogate(self, images: Tensor) -> Tensor:
        """The true logits, with a gradient as if ``purify`` changed nothing.

        Backward pass differentiable approximation by the identity (Athalye et al., 2018).
        """
        check_images(type(self).__name__, images)
        with torch.no_grad():
            # cut off: what changes nothing gives back the images themselves
            purified = self.purify(images).detach()
        logits: Tensor = self.classifier(purified + (images - images.detach()))
        return logits


def check_images(who: str, images: Tensor) -> None:
    """Raises unless ``images`` is a float batch ``[B, 3, H, W]`` in [0, 1].

    The range is not looked at while ``torch.compile`` or ``torch.export`` traces.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"{who}: images must be a torch.Tensor, got {type(images).__name__}")
    if images.dtype not in (torch.float32, torch.float64):
        hint = " (pass images.float() / 255)" if images.dtype == torch.uint8 else ""
        raise TypeError(f"{who}: images must be float32 or float64, got {images.dtype}{hint}")
    if images.ndim != 4 or images.shape[1] != 3:
        hint = " (one image? pass images[None])" if images.ndim == 3 else ""
        hint = " (grey? pass images.expand(-1, 3, -1, -1))" if images.shape[1:2] == (1,) else hint
        raise ValueError(f"{who}: images must be [B, 3, H, W], got {list(images.shape)}{hint}")
    if is_traced(images) or images.numel() == 0:
        return
    low, high = (bound.item() for bound in torch.aminmax(images.detach()))
    if math.isnan(low) or low < 0 or high > 1:
        hint = " (pass images / 255)" if low >= 0 and 2 < high <= 255 else ""
        raise ValueError(f"{who}: images must lie in [0, 1], got [{low:.4g}, {high:.4g}]{hint}")
