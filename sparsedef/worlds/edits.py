"""Edits that a person would ask for in words, and that leave the class as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from sparsedef.worlds.inputs import check_parameters
from sparsedef.worlds.parameters import BACKGROUNDS, CONDITIONS, MOST, columns
from sparsedef.worlds.scenes import COLOURS

STRENGTH = 0.9  # of a condition that an edit turns on, as a share of what it may reach


@dataclass(frozen=True)
class Edit:
    """A named change of scenes.

    Args:
        instruction: In words, as one would tell an image editor.
        kind: ``"weather"``, ``"colour"``, ``"background"`` or ``"light"``.
        values: What the parameters it sets are afterwards.
    """

    instruction: str
    kind: str
    values: Mapping[str, float]

    def __call__(self, parameters: Tensor) -> Tensor:
        """Edits scenes ``[B, P]``; the parameters it does not set stay, with their gradient."""
        check_parameters("Edit", parameters)
        edited = parameters.clone()
        edited[:, columns(self.values)] = parameters.new_tensor(list(self.values.values()))
        return edited


def _weather(name: str, instruction: str) -> Edit:
    on = {each: STRENGTH * MOST[each] if each == name else 0.0 for each in CONDITIONS}
    return Edit(instruction, "weather", on)


def _background(name: str, instruction: str) -> Edit:
    return Edit(instruction, "background", {each: float(each == name) for each in BACKGROUNDS})


def _colour(name: str) -> Edit:
    rgb = dict(zip(("red", "green", "blue"), COLOURS[name], strict=True))
    return Edit(f"make it {name}", "colour", rgb)


EDITS: dict[str, Edit] = {
    "clear": _weather("clear", "make the weather clear"),
    "snow": _weather("snow", "make it in snow"),
    "rain": _weather("rain", "make it in rain"),
    "fog": _weather("fog", "make it in fog"),
    "night": _weather("night", "make it at night"),
    "sunset": _weather("sunset", "make it at sunset"),
    **{name: _colour(name) for name in COLOURS},
    "grass": _background("grass", "put it on grass"),
    "water": _background("water", "put it on water"),
    "sand": _background("sand", "put it on sand"),
    "brick": _background("brick", "put it on a brick wall"),
    "sky": _background("sky", "put it in the sky"),
    "wood": _background("wood", "put it on wood"),
    "bright": Edit("make it brighter", "light", {"brightness": 1.0}),
    "dark": Edit("make it darker", "light", {"brightness": 0.0}),
    "blurred": Edit("blur it", "light", {"blur": 1.0}),
    "sharp": Edit("make it sharp", "light", {"blur": 0.0}),
}
