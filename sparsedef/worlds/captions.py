"""Captions of scenes, from templates: half name the class, half only describe it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from sparsedef.solvers.checks import check_choice
from sparsedef.worlds.classes import FILLS, SHAPES, fill_index, shape_index
from sparsedef.worlds.parameters import BACKGROUNDS
from sparsedef.worlds.phrases import (
    BACKGROUND_PHRASES,
    WEATHER_PHRASES,
    fill_features,
    shape_features,
)
from sparsedef.worlds.scenes import COLOURS, WEATHERS, Scenes, attributes

CaptionMode = Literal["full", "relevant"]
MODES: tuple[CaptionMode, ...] = ("full", "relevant")
OPENINGS = ("", "", "a picture of ", "a drawing of ", "an image of ")
# how often a caption names the class, tells a second feature, and mentions a nuisance
NAMES_CLASS, SECOND_FEATURE = 0.5, 0.4
MENTIONS = {"colour": 0.5, "weather": 0.6, "background": 0.5}
_DRAWS = 12  # random numbers per caption, used or not


def write_captions(
    scenes: Scenes, generator: torch.Generator, *, mode: CaptionMode = "full"
) -> tuple[str, ...]:
    """Writes one caption for each scene; a caption says nothing that is not so.

    Half of them use the class's name ("a striped star"), the others only features ("a shape with
    five pointed tips and parallel lines"). In mode ``"full"`` they also mention the colour in
    half of the cases, the weather in 60 % and the background in half; in mode ``"relevant"``
    never: an encoder trained on those has no reason to see a nuisance.

    Args:
        scenes: What to write about.
        generator: The only source of randomness, on the CPU; every caption takes the same number
            of draws, so that the first captions do not depend on how many follow.
        mode: ``"full"`` or ``"relevant"``.

    Raises:
        ValueError: ``mode`` is unknown.

    Example:
        >>> from sparsedef.worlds import sample_scenes
        >>> scenes = sample_scenes(torch.Generator().manual_seed(0), 2)
        >>> captions = write_captions(scenes, torch.Generator().manual_seed(0), mode="relevant")
        >>> len(captions)
        2
    """
    check_choice("write_captions", "mode", mode, MODES)
    drawn = torch.rand(len(scenes), _DRAWS, generator=generator, dtype=torch.float64).tolist()
    named = attributes(scenes.parameters)
    rows = zip(
        shape_index(scenes.classes).tolist(),
        fill_index(scenes.classes).tolist(),
        *(each.tolist() for each in named),
        drawn,
        strict=True,
    )
    colours = tuple(COLOURS)
    return tuple(
        _caption(
            SHAPES[shape],
            FILLS[fill],
            {
                "colour": (f"{colours[colour]} ",),
                "weather": WEATHER_PHRASES[WEATHERS[weather]],
                "background": BACKGROUND_PHRASES[BACKGROUNDS[background]],
            },
            draws,
            mode,
        )
        for shape, fill, weather, background, colour, draws in rows
    )


def _caption(
    shape: str,
    fill: str,
    nuisances: dict[str, tuple[str, ...]],
    draws: list[float],
    mode: CaptionMode,
) -> str:
    said = dict.fromkeys(nuisances, "")
    if mode == "full":
        for (name, phrases), at in zip(nuisances.items(), (0, 2, 4), strict=True):
            if draws[at] < MENTIONS[name]:
                said[name] = _pick(phrases, draws[at + 1])
    if draws[6] < NAMES_CLASS:
        what = f"{said['colour']}{fill} {shape}"
    else:
        features = [_pick(shape_features(shape), draws[7]), _pick(fill_features(fill), draws[8])]
        others = [each for each in shape_features(shape) if each != features[0]]
        if draws[9] < SECOND_FEATURE:
            features.insert(1, _pick(others, draws[10]))
        listed = f"{', '.join(features[:-1])} and {features[-1]}"
        what = f"{said['colour']}shape with {listed}"
    article = "an" if what[0] in "aeiou" else "a"
    sentence = f"{_pick(OPENINGS, draws[11])}{article} {what}"
    return " ".join(part for part in (sentence, said["background"], said["weather"]) if part)


def _pick(phrases: Sequence[str], draw: float) -> str:
    return phrases[int(draw * len(phrases))]
