"""What is behind the object: six textures as short Fourier series, mixed, moved and blurred.

A background is ``base + axis * t(x - shift)`` with two colours and one periodic texture t in
[-1, 1] for each of ``BACKGROUNDS``. As t is a short Fourier series, moving is a turn of phases and
a Gaussian blur a damping of amplitudes, both exact, and drawing a batch is one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from sparsedef.worlds.parameters import BACKGROUNDS
from sparsedef.worlds.shapes import grid

DARKEST, LIGHTEST = 0.18, 0.82  # of every background in every channel, whatever the weather
TILE = 64  # pixels of the periodic drawing that a series is taken from
HIGHEST = 10  # cycles per image: 32 pixels still show them
TERMS = 16  # pairs of waves per texture

# the middle colour, and what the texture adds to it where it is 1
COLOURS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "grass": ((0.37, 0.59, 0.29), (0.11, 0.13, 0.07)),
    "water": ((0.31, 0.52, 0.69), (0.08, 0.10, 0.09)),
    "sand": ((0.73, 0.65, 0.46), (0.06, 0.06, 0.06)),
    "brick": ((0.65, 0.41, 0.33), (0.10, 0.13, 0.10)),
    "sky": ((0.55, 0.68, 0.78), (0.14, 0.08, 0.02)),
    "wood": ((0.58, 0.44, 0.29), (0.13, 0.11, 0.07)),
}


def _waves(kind: str) -> Tensor:
    """Draws bent parallel waves, ``[TILE, TILE]``: water across, wood upright."""
    axis = torch.arange(TILE, dtype=torch.float64) * (2 * math.pi / TILE)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    if kind == "water":
        return (6 * y + 0.9 * x.sin() + 0.5 * (3 * x + y).sin()).sin()
    grain = (5 * x + 0.8 * y.sin()).sin() + 0.7 * (8 * x - 0.6 * (y + 1).sin()).sin()
    return grain + 0.5 * (x + 2 * y.sin()).sin()


def _brick() -> Tensor:
    """Draws mortar, 1, around bricks, 0, six courses high and three bricks wide."""
    axis = torch.arange(TILE, dtype=torch.float64) / TILE
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    course = (6 * y).floor()
    across = (3 * x + 0.5 * (course % 2)) % 1
    return ((6 * y % 1 < 0.26) | (across < 0.13)).to(torch.float64)


def _noise(low: float, high: float, stretch: float, seed: int) -> Tensor:
    """Draws noise with waves between ``low`` and ``high`` cycles, ``stretch`` longer upright."""
    generator = torch.Generator().manual_seed(seed)
    white = torch.randn(TILE, TILE, dtype=torch.float64, generator=generator)
    frequency = torch.fft.fftfreq(TILE, 1 / TILE, dtype=torch.float64)
    radius = (frequency.square() + (stretch * frequency[:, None]).square()).sqrt()
    spectrum = torch.fft.fft2(white) * ((radius >= low) & (radius <= high))
    return torch.fft.ifft2(spectrum).real


DRAWINGS: dict[str, Callable[[], Tensor]] = {
    "grass": lambda: _noise(4, HIGHEST, 2.5, seed=1),
    "water": lambda: _waves("water"),
    "sand": lambda: _noise(6, HIGHEST, 1, seed=2),
    "brick": _brick,
    "sky": lambda: _noise(1, 3, 1, seed=3),
    "wood": lambda: _waves("wood"),
}


class Series(NamedTuple):
    """The textures as sums of F waves, in float64.

    Args:
        frequencies: ``[F, 2]``, cycles per image down and across.
        amplitudes: ``[len(BACKGROUNDS), F]`` complex; t is the real part of the sum of
            ``amplitude * exp(2 pi i frequency . x)``.
    """

    frequencies: Tensor
    amplitudes: Tensor


@lru_cache(maxsize=1)
def series() -> Series:
    """Takes the largest waves of each drawing, scaled so that its texture spans up to 1."""
    spectra = []
    for name in BACKGROUNDS:
        drawing = DRAWINGS[name]()
        spectrum = torch.fft.fft2(drawing - drawing.mean())
        frequency = torch.fft.fftfreq(TILE, 1 / TILE, dtype=torch.float64)
        down, across = torch.meshgrid(frequency, frequency, indexing="ij")
        is_half = (down > 0) | ((down == 0) & (across > 0))
        is_low = torch.maximum(down.abs(), across.abs()) <= HIGHEST
        spectrum = spectrum * (is_half & is_low)
        floor = spectrum.abs().flatten().topk(TERMS).values[-1]
        # waves as large as the last one all stay, whatever the rounding of this machine's FFT
        spectrum = spectrum * (spectrum.abs() >= floor * (1 - 1e-6))
        # the texture on a grid four times as fine shows its largest value
        fine = torch.zeros(4 * TILE, 4 * TILE, dtype=spectrum.dtype)
        rows = frequency.long() % (4 * TILE)
        fine[rows[:, None], rows] = spectrum
        largest = (torch.fft.ifft2(fine).real * (4 * TILE) ** 2).abs().max()
        spectra.append(spectrum / (1.02 * largest))
    stacked = torch.stack(spectra)
    used = stacked.abs().sum(0) > 0
    return Series(torch.stack([down[used], across[used]], 1), stacked[:, used])


@lru_cache(maxsize=8)
def _tables(size: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    """Basis ``[2 F + 2, size * size]``, angular frequencies, amplitudes, bases and axes."""
    with torch.inference_mode(False):
        return tuple(part.to(device, dtype) for part in _double_tables(size))


def _double_tables(size: int) -> tuple[Tensor, ...]:
    frequencies, amplitudes = series()
    turns = 2 * math.pi * frequencies
    pixels = grid(size, torch.float64, torch.device("cpu"))
    phase = turns @ pixels[:2].flip(0)
    basis = torch.cat([phase.cos(), phase.sin(), pixels[2:], pixels[1:2]])
    base, axis = torch.tensor(list(COLOURS.values()), dtype=torch.float64).unbind(1)
    parts = torch.cat([amplitudes.real, amplitudes.imag], 1)
    return basis, turns, parts, base, axis


class Background(NamedTuple):
    """A batch of backgrounds as coefficients of one basis: texture waves, 1, and height y.

    Args:
        waves: ``[B, 3, 2 F]``.
        constant: ``[B, 3]``.
        slope: What y in [0, 1] adds, ``[B, 3]``.
    """

    waves: Tensor
    constant: Tensor
    slope: Tensor

    def mix(self, colour: Tensor, amount: Tensor, slope: Tensor | None = None) -> Background:
        """Moves every pixel towards ``colour`` ``[..., 3]`` by ``amount`` ``[B]`` in [0, 1].

        Args:
            colour: Of what comes in, at the top.
            amount: Of it.
            slope: What y adds to ``colour``, ``[3]``.
        """
        amount = amount[:, None]
        rest = 1 - amount
        tilt = self.slope * rest if slope is None else self.slope * rest + amount * slope
        constant = self.constant * rest + amount * colour
        return Background(self.waves * rest[:, None], constant, tilt)

    def coefficients(self) -> Tensor:
        """Collects the parts in the basis's order, ``[B, 3, 2 F + 2]``."""
        return torch.cat([self.waves, self.constant[:, :, None], self.slope[:, :, None]], 2)


def draw_background(coefficients: Tensor, size: int) -> Tensor:
    """Draws ``[B, 3, 2 F + 2]`` as pixels, ``[B, 3, size * size]``."""
    basis = _tables(size, coefficients.dtype, coefficients.device)[0]
    return (coefficients.flatten(0, 1) @ basis).view(len(coefficients), 3, -1)


def background(values: dict[str, Tensor], size: int) -> Background:
    """Mixes, moves and blurs the six backgrounds in clear weather.

    The mixture is the softmax of the six log weights, so one parameter at 1 and the others at 0
    is that background alone to one part in 600.

    Args:
        values: The scenes in physical units, ``[B]`` each.
        size: Height and width of the images, which only chooses the tables to keep.
    """
    logits = torch.stack([values[name] for name in BACKGROUNDS], 1)
    _, turns, amplitudes, base, axis = _tables(size, logits.dtype, logits.device)
    weights = logits.softmax(1)
    colours = (weights[:, :, None] * axis).mT @ amplitudes
    real, imaginary = colours.chunk(2, 2)
    phase = torch.stack([values["texture_y"], values["texture_x"]], 1) @ turns.mT
    damping = (values["blur"].square()[:, None] * (-0.5 * turns.square().sum(1))).exp()
    cos, sin = (phase.cos() * damping)[:, None], (phase.sin() * damping)[:, None]
    # real part of amplitude * exp(-i phase) * (cos + i sin) of the pixel
    waves = torch.cat([real * cos + imaginary * sin, real * sin - imaginary * cos], 2)
    constant = weights @ base
    return Background(waves, constant, torch.zeros_like(constant))
