"""What may change in a scene: one table of continuous parameters, all in [0, 1]."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Group = Literal["geometry", "appearance", "weather", "light"]
GROUPS: tuple[Group, ...] = ("geometry", "appearance", "weather", "light")


@dataclass(frozen=True)
class Parameter:
    """One column of a batch of scenes ``[B, P]``.

    Args:
        name: Of the column.
        group: What it belongs to; the class of an image depends on none of them, its mask on
            ``"geometry"`` alone.
        low: What 0 stands for, in ``unit``.
        high: What 1 stands for; between them it is linear.
        unit: Of ``low`` and ``high``.
        meaning: In plain words.
    """

    name: str
    group: Group
    low: float
    high: float
    unit: str
    meaning: str


# what a scene may be in, clear apart; the attacker's set has at most one at a time
CONDITIONS = ("snow", "rain", "fog", "night", "sunset")
OFF = 0.08  # up to here a condition counts as absent
MOST = {"snow": 1.0, "rain": 1.0, "fog": 0.8, "night": 1.0, "sunset": 1.0}  # in data and attacks
BACKGROUNDS = ("grass", "water", "sand", "brick", "sky", "wood")

PARAMETERS: tuple[Parameter, ...] = (
    Parameter("x", "geometry", -1, 1, "of the room", "object from the left edge to the right"),
    Parameter("y", "geometry", -1, 1, "of the room", "object from the top edge to the bottom"),
    Parameter("scale", "geometry", 0.27, 0.4, "image widths", "radius of the object"),
    Parameter("rotation", "geometry", -45, 45, "degrees", "object turned clockwise"),
    Parameter("phase", "geometry", 0, 1, "periods", "where stripes and dots begin"),
    Parameter("red", "appearance", 0.08, 0.94, "of full", "red of the object"),
    Parameter("green", "appearance", 0.08, 0.94, "of full", "green of the object"),
    Parameter("blue", "appearance", 0.08, 0.94, "of full", "blue of the object"),
    *(
        Parameter(name, "appearance", 0, 8, "log weight", f"{name} in the mixture of backgrounds")
        for name in BACKGROUNDS
    ),
    Parameter("texture_x", "appearance", 0, 1, "image widths", "background moved to the right"),
    Parameter("texture_y", "appearance", 0, 1, "image widths", "background moved down"),
    Parameter("snow", "weather", 0, 1, "of full", "flakes, and a white ground"),
    Parameter("rain", "weather", 0, 1, "of full", "streaks, and a grey ground"),
    Parameter("fog", "weather", 0, 1, "of full", "a veil that takes contrast"),
    Parameter("night", "weather", 0, 1, "of full", "dark and blue"),
    Parameter("sunset", "weather", 0, 1, "of full", "orange from below, violet from above"),
    Parameter("brightness", "light", 0.2, 0.8, "grey mixed in", "exposure"),
    Parameter("blur", "light", 0, 0.012, "image widths", "standard deviation of the lens's blur"),
)
NAMES = tuple(parameter.name for parameter in PARAMETERS)


def column(name: str) -> int:
    """Finds the column of a parameter by its name.

    Raises:
        ValueError: There is no such parameter.
    """
    if name not in NAMES:
        raise ValueError(f"column: name must be one of {NAMES}, got {name!r}")
    return NAMES.index(name)


def columns(names: Iterable[str]) -> list[int]:
    """Finds the columns of several parameters, in the order of ``names``."""
    return [column(name) for name in names]


def group_columns(group: Group) -> list[int]:
    """Finds the columns that belong to ``group``, in the order of the table."""
    if group not in GROUPS:
        raise ValueError(f"group_columns: group must be one of {GROUPS}, got {group!r}")
    return [i for i, parameter in enumerate(PARAMETERS) if parameter.group == group]


def physical(parameters: Tensor) -> dict[str, Tensor]:
    """Converts scenes ``[B, P]`` in [0, 1] to physical units: by name, ``[B]`` each."""
    low = parameters.new_tensor([parameter.low for parameter in PARAMETERS])
    high = parameters.new_tensor([parameter.high for parameter in PARAMETERS])
    return dict(zip(NAMES, torch.lerp(low, high, parameters).unbind(1), strict=True))
