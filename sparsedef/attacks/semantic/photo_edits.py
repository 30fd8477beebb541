"""Fog, snow, hue, saturation, contrast and brightness of any picture, with a gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sparsedef.attacks.ball import per_image

YIQ_FROM_RGB = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
FOG = 0.8  # grey of the veil
FLAKES = 0.12  # share of the grid's cells with a flake


@dataclass(frozen=True)
class Knob:
    """One parameter of a photo edit; at 0 the picture is unchanged.

    Args:
        name: Of the parameter.
        low: Lowest value at full budget.
        high: Highest value at full budget.
        meaning: In plain words, with its unit.
    """

    name: str
    low: float
    high: float
    meaning: str


KNOBS: tuple[Knob, ...] = (
    Knob("hue", -90, 90, "colours turned by degrees, luma kept"),
    Knob("saturation", -1, 1, "colours stretched by 1 + value, luma kept"),
    Knob("contrast", -0.5, 0.5, "distance to the picture's mean stretched by 1 + value"),
    Knob("brightness", -0.4, 0.4, "share of white (above 0) or black (below) mixed in"),
    Knob("fog", 0, 0.7, "largest share of grey mixed in, uneven like clouds"),
    Knob("snow", 0, 0.9, "opacity of white flakes"),
)
NAMES = tuple(knob.name for knob in KNOBS)


@dataclass(frozen=True)
class Fields:
    """What is random about fog and snow: shares of each pixel, ``[B, 1, H, W]`` in [0, 1]."""

    clouds: Tensor
    flakes: Tensor

    @classmethod
    def draw(cls, images: Tensor, generator: torch.Generator) -> Fields:
        """Draws clouds and flakes for ``images`` ``[B, 3, H, W]``; a flake is H / 32 wide."""
        n_images, _, height, width = images.shape

        def rand(*shape: int) -> Tensor:
            return torch.rand(
                n_images, 1, *shape, generator=generator, dtype=images.dtype, device=images.device
            )

        flake = max(1, height // 32)
        clouds = functional.interpolate(rand(4, 4), (height, width), mode="bilinear")
        cells = rand(max(1, height // flake), max(1, width // flake))
        flakes = (cells < FLAKES).to(images.dtype)
        return cls(clouds, functional.interpolate(flakes, (height, width), mode="bilinear"))

    def __getitem__(self, rows: Tensor) -> Fields:
        """Picks images by their numbers."""
        return Fields(self.clouds[rows], self.flakes[rows])


def edit_photos(images: Tensor, values: Tensor, fields: Fields) -> Tensor:
    """Edits pictures by the knobs, in the order of ``KNOBS``, each clipped to [0, 1].

    Args:
        images: ``[B, 3, H, W]`` in [0, 1].
        values: One column for each of ``KNOBS``, ``[B, 6]``.
        fields: Clouds and flakes.

    Returns:
        ``[B, 3, H, W]`` in [0, 1]; the images themselves, up to rounding, where all values are 0.

    Gradients: exact almost everywhere for ``images`` and ``values``.
    """
    hue, saturation, contrast, brightness, fog, snow = (per_image(v) for v in values.unbind(1))
    edited = _turn(images, hue * (torch.pi / 180), 1 + saturation).clamp(0, 1)
    mean = edited.mean((1, 2, 3), keepdim=True)
    edited = (edited + contrast * (edited - mean)).clamp(0, 1)
    # no clamp of the brightness: its gradient would be 0 at 0, where attacks begin
    edited = edited + brightness * torch.where(brightness >= 0, 1 - edited, edited)
    edited = edited + fog * (0.5 + 0.5 * fields.clouds) * (FOG - edited)
    edited = edited + snow * fields.flakes * (1 - edited)
    # only rounding is left to clip, which must not cut the gradient of white pixels
    return edited + (edited.clamp(0, 1) - edited).detach()


def _turn(images: Tensor, angle: Tensor, stretch: Tensor) -> Tensor:
    """Turns the colour plane of YIQ by ``angle`` (radians) and stretches it; ``[B, 1, 1, 1]``."""
    matrix = images.new_tensor(YIQ_FROM_RGB)
    luma, i, q = torch.einsum("ij,bjhw->bihw", matrix, images).split(1, dim=1)
    cos, sin = stretch * torch.cos(angle), stretch * torch.sin(angle)
    turned = torch.cat([luma, cos * i - sin * q, sin * i + cos * q], 1)
    return torch.einsum("ij,bjhw->bihw", torch.linalg.inv(matrix), turned)
