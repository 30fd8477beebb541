"""Draws scenes: parameters, classes and noise seeds to images, with a gradient.

A pixel is background, object colour or ink, by coverage; flakes and streaks are in front. All
that weather, light and blur do is done to a few numbers per scene (colours, amplitudes of the
background's waves, softness of edges) before any pixel is drawn, so that a pixel costs little.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sparsedef.worlds.backgrounds import background, draw_background
from sparsedef.worlds.contrast import keep_apart
from sparsedef.worlds.inputs import check_scenes, check_size
from sparsedef.worlds.parameters import physical
from sparsedef.worlds.shapes import EDGE, Placement, draw_geometry, place
from sparsedef.worlds.weather import Falling, falling, light, put_in_front

INK = (0.05, 0.05, 0.08)
OUTLINE = 0.03  # width of the outline in image widths, at least 1.2 pixels
RING = 0.1  # width of the surroundings that the object is kept apart from, in image widths
AT_ONCE = {"cpu": 2**17, "cuda": 2**25}  # pixels; on a CPU, what stays in its caches


def render(parameters: Tensor, classes: Tensor, seeds: Tensor, *, size: int = 48) -> Tensor:
    """Draws a batch of scenes; what the images show has a gradient in every parameter.

    The class is an argument and no function of the parameters: whatever they are, the image
    shows the shape and the fill of its class, whole (``class_mask``) and visible (``visibility``).

    Args:
        parameters: Scenes ``[B, P]`` in [0, 1], one column for each of ``PARAMETERS``, float32 or
            float64.
        classes: Index into ``CLASSES``, ``[B]`` int64.
        seeds: Of flakes, streaks and grain, ``[B]`` int64, at least 0. There are ``FIELDS``
            patterns, so seeds that differ by a multiple of that draw the same.
        size: Height and width in pixels, at least 16; 48 shows everything, 32 nearly.

    Returns:
        Images ``[B, 3, size, size]`` in [0, 1], of the parameters' dtype and device. An image
        does not depend on the others of its batch, up to rounding.

    Raises:
        TypeError: Something is no tensor of the right dtype.
        ValueError: A shape or range is wrong.

    Gradients: for ``parameters``, exact wherever the colours' floors and the shapes' creases have
    one. Waits for the device, to know how many images each shape has.

    Example:
        >>> scenes = torch.full((2, 23), 0.5)
        >>> render(scenes, torch.tensor([0, 13]), torch.zeros(2, dtype=torch.int64)).shape
        torch.Size([2, 3, 48, 48])
    """
    check_scenes("render", parameters, classes, seeds)
    size = check_size("render", size)
    if len(classes) == 0:
        return parameters.new_zeros(0, 3, size, size)
    order = classes.argsort(stable=True)
    plan = _plan(parameters[order], classes[order], seeds[order], size)
    rows = max(1, AT_ONCE.get(parameters.device.type, AT_ONCE["cuda"]) // size**2)
    images = torch.cat([_draw(part, size) for part in plan.split(rows)])
    return images.index_select(0, order.argsort()).view(-1, 3, size, size)


class Mask(NamedTuple):
    """Where the class is drawn: shares of each pixel, ``[B, size, size]`` in [0, 1].

    Args:
        coverage: Of the object: its colour, outline and pattern together.
        outline: Of the ink along the object's edge, inside it.
        pattern: Of the ink of stripes or dots inside the outline.
        ring: Of the surroundings, ``RING`` wide, that the object is kept apart from.
    """

    coverage: Tensor
    outline: Tensor
    pattern: Tensor
    ring: Tensor

    @property
    def colour(self) -> Tensor:
        """Where the object shows its own colour."""
        return self.coverage - self.outline - self.pattern


def class_mask(parameters: Tensor, classes: Tensor, *, size: int = 48) -> Mask:
    """Draws what makes the class, through the very fields that ``render`` paints.

    It reads the columns of group ``"geometry"`` only: no appearance, weather or light can change
    it. ``render`` blurs it by the scene's ``blur``; this is without.

    Args:
        parameters: Scenes ``[B, P]`` in [0, 1].
        classes: Index into ``CLASSES``, ``[B]`` int64.
        size: Height and width in pixels, at least 16.

    Raises:
        TypeError: Something is no tensor of the right dtype.
        ValueError: A shape or range is wrong.
    """
    check_scenes("class_mask", parameters, classes, None)
    size = check_size("class_mask", size)
    if len(classes) == 0:
        return Mask(*parameters.new_zeros(4, 0, size, size).unbind())
    order = classes.argsort(stable=True)
    placement = place(physical(parameters[order]), classes[order], size)
    layers = _layers(placement, torch.full_like(placement.radius, EDGE), size)
    coverage = 1 - layers.outside
    outline = coverage * layers.line
    parts = (coverage, outline, layers.ink - outline, layers.ring)
    return Mask(*(part[order.argsort()].view(-1, size, size) for part in parts))


class _Plan(NamedTuple):
    """A batch of scenes as numbers, before any pixel is drawn; every part is ``[B, ...]``."""

    ground: Tensor
    colour: Tensor
    ink: Tensor
    edge: Tensor
    falling: Falling
    placement: Placement

    def split(self, rows: int) -> list[_Plan]:
        """Cuts the batch into pieces of ``rows`` scenes."""
        flat = [self.ground, self.colour, self.ink, self.edge, *self.falling, *self.placement]
        return [
            _Plan(ground, colour, ink, edge, Falling(*rest[:2]), Placement(*rest[2:]))
            for ground, colour, ink, edge, *rest in zip(
                *(part.split(rows) for part in flat), strict=True
            )
        ]


def _plan(parameters: Tensor, classes: Tensor, seeds: Tensor, size: int) -> _Plan:
    values = physical(parameters)
    colour = torch.stack([values["red"], values["green"], values["blue"]], 1)
    ink = colour.new_tensor(INK).expand_as(colour)
    lit = light(values, background(values, size), colour, ink)
    # a logistic step as steep as the normal one of standard deviation s has scale 0.6 s
    edge = (EDGE + 0.6 * size * values["blur"])[:, None]
    return _Plan(
        lit.background.coefficients(),
        lit.colour,
        lit.ink,
        edge,
        falling(values, seeds),
        place(values, classes, size),
    )


class _Layers(NamedTuple):
    """Shares of each pixel, ``[B, size * size]``: ``outside + colour + ink`` is 1."""

    outside: Tensor
    colour: Tensor
    ink: Tensor
    line: Tensor
    ring: Tensor


def _layers(placement: Placement, edge: Tensor, size: int) -> _Layers:
    geometry = draw_geometry(placement, size)
    outside = geometry.outside(edge)
    line = geometry.outside(edge, inset=max(1.2, OUTLINE * size))
    coverage = 1 - outside
    colour = coverage * (1 - line) * geometry.unmarked(edge)
    # equally soft edges, so that the ring's shares are never negative
    ring = outside - geometry.outside(edge, inset=-RING * size)
    return _Layers(outside, colour, coverage - colour, line, ring)


def _draw(plan: _Plan, size: int) -> Tensor:
    layers = _layers(plan.placement, plan.edge, size)
    ground = draw_background(plan.ground, size)
    around = (ground @ layers.ring[:, :, None]).squeeze(2) / layers.ring.sum(1, keepdim=True)
    paint = torch.stack(keep_apart(plan.colour, plan.ink, around), 2)
    subject = torch.stack([layers.colour, layers.ink], 1)
    images = torch.baddbmm(ground * layers.outside[:, None], paint, subject)
    return put_in_front(images, layers.outside, plan.falling, size)
