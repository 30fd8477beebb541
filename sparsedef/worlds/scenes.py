"""A batch of scenes, and what a person would call their weather, background and colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sparsedef.worlds.inputs import check_parameters, check_scenes
from sparsedef.worlds.parameters import BACKGROUNDS, CONDITIONS, MOST, columns
from sparsedef.worlds.renderer import render

WEATHERS = ("clear", *CONDITIONS)
COLOURS: dict[str, tuple[float, float, float]] = {  # of the parameters red, green, blue
    "red": (0.95, 0.1, 0.1),
    "orange": (0.98, 0.5, 0.05),
    "yellow": (0.95, 0.9, 0.1),
    "green": (0.12, 0.75, 0.2),
    "cyan": (0.1, 0.85, 0.9),
    "blue": (0.12, 0.25, 0.95),
    "purple": (0.6, 0.12, 0.8),
    "white": (0.95, 0.95, 0.95),
}


@dataclass(frozen=True)
class Scenes:
    """All that an image is drawn from.

    Args:
        parameters: ``[B, P]`` in [0, 1], one column for each of ``PARAMETERS``.
        classes: Index into ``CLASSES``, ``[B]`` int64.
        seeds: Of flakes, streaks and grain, ``[B]`` int64.

    Raises:
        TypeError: Something is no tensor of the right dtype.
        ValueError: A shape or range is wrong.
    """

    parameters: Tensor
    classes: Tensor
    seeds: Tensor

    def __post_init__(self) -> None:
        """Checks the parts."""
        check_scenes("Scenes", self.parameters, self.classes, self.seeds)

    def __len__(self) -> int:
        """Number of scenes."""
        return len(self.classes)

    def __getitem__(self, rows: slice | Tensor) -> Scenes:
        """Picks scenes by a slice, by their numbers, or by a mask."""
        return Scenes(self.parameters[rows], self.classes[rows], self.seeds[rows])

    def render(self, *, size: int = 48) -> Tensor:
        """Draws the images ``[B, 3, size, size]``; see ``render``."""
        return render(self.parameters, self.classes, self.seeds, size=size)

    def with_parameters(self, parameters: Tensor) -> Scenes:
        """Returns the same classes and seeds with other parameters, such as edited ones."""
        return Scenes(parameters, self.classes, self.seeds)


class Attributes(NamedTuple):
    """The nearest words for a batch of scenes, ``[B]`` int64 each.

    Args:
        weather: Index into ``WEATHERS``.
        background: Index into ``BACKGROUNDS``.
        colour: Index into ``COLOURS``, in its order.
    """

    weather: Tensor
    background: Tensor
    colour: Tensor


def attributes(parameters: Tensor) -> Attributes:
    """Names weather, background and colour of scenes, whatever made them.

    The weather is the strongest condition relative to what it may reach, or clear where none
    reaches 0.3 of it; the background the one with the largest weight; the colour the nearest of
    ``COLOURS``.

    Args:
        parameters: Scenes ``[B, P]`` in [0, 1].
    """
    check_parameters("attributes", parameters)
    most = parameters.new_tensor([MOST[name] for name in CONDITIONS])
    strongest = (parameters[:, columns(CONDITIONS)] / most).max(1)
    weather = torch.where(strongest.values < 0.3, 0, strongest.indices + 1)
    background = parameters[:, columns(BACKGROUNDS)].argmax(1)
    palette = parameters.new_tensor(list(COLOURS.values()))
    colour = torch.cdist(parameters[:, columns(["red", "green", "blue"])], palette).argmin(1)
    return Attributes(weather, background, colour)
