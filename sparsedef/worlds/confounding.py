"""A shortcut on purpose: each class has a favourite weather, and maybe a favourite background."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsedef.worlds.classes import CLASSES
from sparsedef.worlds.parameters import BACKGROUNDS
from sparsedef.worlds.scenes import WEATHERS, Scenes, attributes


@dataclass(frozen=True)
class Confounding:
    """How strongly nuisances go with the class.

    A scene has its class's favourite weather with probability ``strength`` and any of the six
    otherwise, so that the share with the favourite is ``strength + (1 - strength) / 6``; the
    background likewise and on its own, where there is a favourite.

    Args:
        strength: In [0, 1]; 0 is a world without a shortcut.
        weather: Favourite of each class, index into ``WEATHERS``, ``[24]`` int64.
        background: Favourite of each class, index into ``BACKGROUNDS``, likewise, or ``None``.

    Raises:
        ValueError: ``strength`` is out of range.
    """

    strength: float
    weather: Tensor
    background: Tensor | None = None

    def __post_init__(self) -> None:
        """Checks the strength."""
        if not 0 <= self.strength <= 1:
            raise ValueError(f"Confounding: strength must lie in [0, 1], got {self.strength}")

    @classmethod
    def balanced(
        cls, strength: float, *, seed: int = 0, with_background: bool = False
    ) -> Confounding:
        """Draws favourites so that each weather, and each background, has four classes.

        Args:
            strength: See the class.
            seed: Of the favourites.
            with_background: Give backgrounds a favourite as well.
        """
        generator = torch.Generator().manual_seed(seed)

        def deal(n_kinds: int) -> Tensor:
            return torch.randperm(len(CLASSES), generator=generator) % n_kinds

        weather = deal(len(WEATHERS))
        return cls(strength, weather, deal(len(BACKGROUNDS)) if with_background else None)

    def achieved(self, scenes: Scenes) -> dict[str, float]:
        """Counts the share of scenes that have their class's favourite.

        Returns:
            ``{"weather": share}``, and ``"background"`` where it has favourites. Without a
            shortcut it is near 1/6.
        """
        found = attributes(scenes.parameters)
        pairs = {"weather": (found.weather, self.weather)}
        if self.background is not None:
            pairs["background"] = (found.background, self.background)
        return {
            name: (value == favourite[scenes.classes]).double().mean().item()
            for name, (value, favourite) in pairs.items()
        }
