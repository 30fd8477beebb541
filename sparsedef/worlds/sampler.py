"""Scenes as a data set has them: at most one weather, a colour with a name, one background."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.solvers.checks import check_choice, check_count
from sparsedef.worlds.classes import CLASSES
from sparsedef.worlds.confounding import Confounding
from sparsedef.worlds.parameters import (
    BACKGROUNDS,
    CONDITIONS,
    MOST,
    OFF,
    PARAMETERS,
    column,
    columns,
)  # fmt: skip
from sparsedef.worlds.scenes import COLOURS, WEATHERS, Scenes

PARTS = ("train", "validation", "test")
JITTER = 0.06  # of a named colour, in every channel
CHOICES = ("class", "weather", "background", "colour", "coin", "background coin", "seed")


def sample_scenes(
    generator: torch.Generator, n_scenes: int, *, confounding: Confounding | None = None
) -> Scenes:
    """Draws scenes with every class, weather, background and colour equally likely.

    Geometry is uniform. The weather is clear or one condition at 0.6 to 1 of ``MOST``, all others
    below ``OFF``; the background has a parameter of at least 0.85 and the others at most 0.15;
    the colour is one of ``COLOURS`` plus up to ``JITTER``.

    Each scene takes the same number of random numbers, drawn afresh: the first scenes do not
    depend on ``n_scenes``, and a confounding reaches its strength however many are drawn.

    Args:
        generator: The only source of randomness, on the CPU.
        n_scenes: How many.
        confounding: Makes nuisances go with the class; ``None`` for independent ones.

    Returns:
        ``Scenes`` with float32 parameters, on the CPU.

    Example:
        >>> scenes = sample_scenes(torch.Generator().manual_seed(0), 4)
        >>> scenes.render(size=32).shape
        torch.Size([4, 3, 32, 32])
    """
    n_scenes = check_count("sample_scenes", "n_scenes", n_scenes)
    width = len(PARAMETERS) + len(CHOICES)
    drawn = torch.rand(n_scenes, width, generator=generator, dtype=torch.float64)
    parameters = drawn[:, : len(PARAMETERS)]
    choice = dict(zip(CHOICES, drawn[:, len(PARAMETERS) :].unbind(1), strict=True))
    classes, weather, background, colour, seeds = (
        (choice[name] * count).long()
        for name, count in (
            ("class", len(CLASSES)), ("weather", len(WEATHERS)),
            ("background", len(BACKGROUNDS)), ("colour", len(COLOURS)), ("seed", 2**31),
        )
    )  # fmt: skip
    if confounding is not None:
        follows = choice["coin"] < confounding.strength
        weather = torch.where(follows, confounding.weather[classes], weather)
        if confounding.background is not None:
            follows = choice["background coin"] < confounding.strength
            background = torch.where(follows, confounding.background[classes], background)
    _set_weather(parameters, weather)
    _set_background(parameters, background)
    palette = torch.tensor(list(COLOURS.values()), dtype=torch.float64)
    rgb = columns(["red", "green", "blue"])
    spread = JITTER * (2 * parameters[:, rgb] - 1)
    parameters[:, rgb] = (palette[colour] + spread).clamp(0, 1)
    brightness, blur = columns(["brightness", "blur"])
    parameters[:, brightness] = 0.15 + 0.7 * parameters[:, brightness]
    parameters[:, blur] = 0.5 * parameters[:, blur].square()  # mostly sharp
    return Scenes(parameters.float(), classes, seeds)


def _set_weather(parameters: Tensor, weather: Tensor) -> None:
    for number, name in enumerate(CONDITIONS):
        value = parameters[:, column(name)]
        on = MOST[name] * (0.6 + 0.4 * value)
        parameters[:, column(name)] = torch.where(weather == number + 1, on, OFF * value)


def _set_background(parameters: Tensor, background: Tensor) -> None:
    for number, name in enumerate(BACKGROUNDS):
        value = parameters[:, column(name)]
        on = 0.85 + 0.15 * value
        parameters[:, column(name)] = torch.where(background == number, on, 0.15 * value)


def draw_split(
    part: str, n_scenes: int, *, seed: int = 0, confounding: Confounding | None = None
) -> Scenes:
    """Draws the first scenes of one part of the data set that ``seed`` names.

    Parts and seeds have random streams of their own, so that no two share a scene.

    Args:
        part: ``"train"``, ``"validation"`` or ``"test"``.
        n_scenes: How many; a longer split begins with the shorter one.
        seed: Of the data set, at least 0.
        confounding: Makes nuisances go with the class.

    Raises:
        ValueError: ``part`` is unknown, or a number too small.
    """
    check_choice("draw_split", "part", part, PARTS)
    seed = check_count("draw_split", "seed", seed, 0)
    # far from the small numbers that other generators are seeded with
    stream = (0x5CE9E << 40) + len(PARTS) * seed + PARTS.index(part)
    generator = torch.Generator().manual_seed(stream)
    return sample_scenes(generator, n_scenes, confounding=confounding)
