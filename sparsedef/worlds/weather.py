"""Weather and light: what mixes into background and object, and what falls in front of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from sparsedef.worlds.backgrounds import Background
from sparsedef.worlds.parameters import CONDITIONS

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Veil:
    """What a condition at full strength mixes in.

    Args:
        colour: Mixed in at the top of the image.
        bottom: Mixed in at the bottom.
        ground: Share of it in the background.
        subject: Share of it in the object, which stands nearer; the middle of the two colours.
    """

    colour: Colour
    bottom: Colour
    ground: float
    subject: float


VEILS: dict[str, Veil] = {
    "snow": Veil((0.80, 0.81, 0.82), (0.80, 0.81, 0.82), ground=0.80, subject=0.15),
    "rain": Veil((0.40, 0.44, 0.52), (0.40, 0.44, 0.52), ground=0.50, subject=0.25),
    "fog": Veil((0.70, 0.72, 0.74), (0.70, 0.72, 0.74), ground=0.80, subject=0.65),
    "night": Veil((0.18, 0.20, 0.34), (0.18, 0.20, 0.34), ground=0.80, subject=0.45),
    "sunset": Veil((0.55, 0.30, 0.46), (0.82, 0.50, 0.22), ground=0.60, subject=0.35),
}
EXPOSURE = 0.25  # share of the grey that the brightness mixes in

FIELDS = 64  # fixed patterns of flakes, streaks and grain; the noise seed picks one
FIELD_PIXELS = 128
LAYERS: tuple[Colour, ...] = ((0.97, 0.97, 0.97), (0.78, 0.82, 0.88), (0.02, 0.02, 0.02))
FLAKE_COVER, STREAK_COVER = 0.9, 0.55
NEAR = 0.35  # share of it in front of the object, which stands near


class Lit(NamedTuple):
    """Background and object colours once weather and light have mixed in."""

    background: Background
    colour: Tensor
    ink: Tensor


def light(values: dict[str, Tensor], background: Background, colour: Tensor, ink: Tensor) -> Lit:
    """Mixes each condition in, in the order of ``CONDITIONS``, and the exposure last.

    Every step is a convex combination, so that no colour leaves the range it has.

    Args:
        values: The scenes in physical units, ``[B]`` each.
        background: In clear weather.
        colour: The object's, ``[B, 3]``.
        ink: Of outline and pattern, ``[B, 3]``.
    """

    def mix(to: Tensor, amount: Tensor, subject: float) -> tuple[Tensor, Tensor]:
        share = (subject * amount)[:, None]
        return colour + share * (to - colour), ink + share * (to - ink)

    for name in CONDITIONS:
        veil, amount = VEILS[name], values[name]
        top, bottom = colour.new_tensor([veil.colour, veil.bottom])
        slope = None if veil.colour == veil.bottom else bottom - top
        background = background.mix(top, veil.ground * amount, slope)
        colour, ink = mix((top + bottom) / 2, amount, veil.subject)
    grey = values["brightness"][:, None]
    share = torch.full_like(grey[:, 0], EXPOSURE)
    background = background.mix(grey, share)
    colour, ink = mix(grey, share, 1.0)
    return Lit(background, colour, ink)


class Falling(NamedTuple):
    """What is in front of a scene: flakes, streaks and grain.

    Args:
        cover: How much an opaque flake and a streak hide, ``[B, 2]``; they add up to at most 1.
        seeds: ``[B]`` int64, which of the patterns.
    """

    cover: Tensor
    seeds: Tensor


def falling(values: dict[str, Tensor], seeds: Tensor) -> Falling:
    """Says how much snow and rain hide in scenes of these physical ``values``, ``[B]`` each."""
    snow = FLAKE_COVER * values["snow"]
    rain = STREAK_COVER * values["rain"] * (1 - snow)
    return Falling(torch.stack([snow, rain], 1), seeds)


def put_in_front(images: Tensor, outside: Tensor, falling: Falling, size: int) -> Tensor:
    """Lays flakes, streaks and grain over ``images``, a third of them over the object.

    Args:
        images: ``[B, 3, size * size]``.
        outside: Share of each pixel that is not the object, ``[B, size * size]``.
        falling: What falls.
        size: Height and width of the images.
    """
    patterns = fields(size, images.dtype, images.device).index_select(0, falling.seeds % FIELDS)
    patterns = patterns * (NEAR + (1 - NEAR) * outside)[:, None]
    snow, rain = falling.cover[:, :1], falling.cover[:, 1:]
    free = torch.addcmul(1 - snow * patterns[:, 0], rain, patterns[:, 1], value=-1)
    weights = torch.cat([falling.cover, torch.ones_like(snow)], 1)
    colours = images.new_tensor(LAYERS).mT * weights[:, None]
    return torch.baddbmm(images * free[:, None], colours, patterns)


@lru_cache(maxsize=8)
def fields(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Draws the flakes, streaks and grain, ``[FIELDS, 3, size * size]``.

    Flakes and streaks are opacities in [0, 1]; the grain lies in [-1, 1].
    """
    with torch.inference_mode(False):
        falling, grain = (
            functional.interpolate(part, (size, size), mode="bilinear", antialias=True)
            for part in _patterns()
        )
        drawn = torch.cat([falling.clamp(0, 1), (grain / 3).clamp(-1, 1)], 1)
        return drawn.flatten(2).to(device, dtype)


@lru_cache(maxsize=1)
def _patterns() -> tuple[Tensor, Tensor]:
    """Flakes and streaks ``[FIELDS, 2, n, n]``, n ``FIELD_PIXELS``, and noise a pixel of 48."""
    generator = torch.Generator().manual_seed(0)

    def scatter(count: int) -> Tensor:
        places = torch.randint(FIELD_PIXELS**2, (FIELDS, count), generator=generator)
        drops = torch.zeros(FIELDS, FIELD_PIXELS**2, dtype=torch.float64)
        return drops.scatter_(1, places, 1.0).view(FIELDS, FIELD_PIXELS, FIELD_PIXELS)

    axis = torch.arange(FIELD_PIXELS, dtype=torch.float64) - FIELD_PIXELS // 2
    y, x = (part / FIELD_PIXELS for part in torch.meshgrid(axis, axis, indexing="ij"))
    flakes = sum(
        _dilate(scatter(count), torch.sigmoid((radius - torch.hypot(x, y)) / 0.004))
        for count, radius in ((14, 0.012), (10, 0.018), (5, 0.024))
    )
    lean = 0.3
    along = (y - lean * x) / math.hypot(1, lean)
    off = (x + lean * y) / math.hypot(1, lean)
    line = torch.sigmoid((0.007 - off.abs()) / 0.003) * torch.sigmoid((0.07 - along.abs()) / 0.01)
    streaks = _dilate(scatter(34), line)
    noise = torch.randn(FIELDS, 1, 48, 48, dtype=torch.float64, generator=generator)
    return torch.stack([torch.as_tensor(flakes), streaks], 1).clamp(0, 1), noise


def _dilate(drops: Tensor, stamp: Tensor) -> Tensor:
    """Puts ``stamp``, centred, at every drop, around the edges: ``[FIELDS, n, n]``."""
    centred = torch.fft.ifftshift(stamp)
    return torch.fft.irfft2(torch.fft.rfft2(drops) * torch.fft.rfft2(centred), drops.shape[-2:])
