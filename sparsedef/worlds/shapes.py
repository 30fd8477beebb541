"""The object: where its edge is, and where its pattern is inked.

Local coordinates have the object's centre at 0 and its radius at 1, u to the right and v down
before it is turned. A shape is its signed distance there, negative inside: exact near the edge,
a bound farther away.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from sparsedef.worlds.classes import FILLS, SHAPES, fill_index, shape_index

REACH = 1.08  # no shape goes farther from its centre than this many radii
MARGIN = 0.03  # image widths that always stay free around the object
EDGE = 0.3  # softness of every edge in pixels: that of a logistic step
Distance = Callable[[Tensor, Tensor], Tensor]


def _length(u: Tensor, v: Tensor) -> Tensor:
    # the small addend keeps the gradient finite at the centre
    return torch.addcmul(u * u, v, v).add_(1e-6).sqrt()


def _disc(u: Tensor, v: Tensor) -> Tensor:
    return _length(u, v) - 0.92


def _ring(u: Tensor, v: Tensor) -> Tensor:
    return (_length(u, v) - 0.63).abs() - 0.33


def _square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs(), v.abs()) - 0.75


def _triangle(u: Tensor, v: Tensor) -> Tensor:
    slanted = u.abs() * math.cos(math.pi / 6) - v * math.sin(math.pi / 6)
    return torch.maximum(slanted, v) - 0.53


def _star(u: Tensor, v: Tensor) -> Tensor:
    """Folds the plane to a tenth: half of the upper tip, whose edge is a straight line."""
    angle = math.pi / 5
    u = u.abs()
    nv = math.sin(angle)
    for nu in (math.cos(angle), -math.cos(angle)):
        # mirror at the line through 0 and a notch beside the upper tip
        beyond = (u * nu + v * nv).clamp_min(0) * 2
        u, v = u - nu * beyond, v - nv * beyond
    u = u.abs()
    tip, notch = 1.06, 0.53
    du, dv = notch * math.sin(angle), tip - notch * math.cos(angle)
    length = math.hypot(du, dv)
    return u * (dv / length) - v * (du / length) - tip * du / length


def _cross(u: Tensor, v: Tensor) -> Tensor:
    u, v = u.abs(), v.abs()
    return torch.maximum(torch.maximum(u, v) - 0.94, torch.minimum(u, v) - 0.38)


def _heart(u: Tensor, v: Tensor) -> Tensor:
    """Two discs, and a wedge tangent to both, cut off by a chord of each disc.

    The chords begin where the discs meet, and end a little above where the wedge touches, so
    that no seam lies near the edge; the wedge stands out there by 0.005 of a radius.
    """
    x, y, radius, tip = 0.46, -0.33, 0.47, 0.95
    u = u.abs()
    half = math.atan2(x, tip - y) + math.asin(radius / math.hypot(x, tip - y))
    nu, nv = math.cos(half), math.sin(half)
    wedge = u * nu + (v - tip) * nv
    notch = y - math.sqrt(radius**2 - x**2)
    end = half - 0.15
    du, dv = x + radius * math.cos(end), y + radius * math.sin(end) - notch
    length = math.hypot(du, dv)
    above = u * (dv / length) - (v - notch) * (du / length)
    return torch.minimum(_length(u - x, v - y) - radius, torch.maximum(wedge, above))


def _crescent(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(_length(u, v) - 0.98, 0.62 - _length(u - 0.52, v))


DISTANCES: dict[str, Distance] = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "heart": _heart,
    "crescent": _crescent,
}
PERIODS = {"plain": 0.54, "striped": 0.54, "dotted": 0.57}  # in radii
# ink where cos(a) + second * cos(b) > threshold, a and b the phases along v and u
SECOND = {"plain": 0.0, "striped": 0.0, "dotted": 1.0}
THRESHOLD = {"plain": 30.0, "striped": 0.0, "dotted": 0.75}


class Placement(NamedTuple):
    """The object of each scene as numbers, before any pixel is drawn.

    Args:
        shapes: Index into ``SHAPES``, ``[B]``, ascending.
        across: u as coefficients of a pixel's (x, y, 1), ``[B, 3]``.
        down: v likewise.
        waves: Phases of the pattern likewise, along v and along u, ``[B, 2, 3]``.
        second: Weight of the second wave, ``[B, 1]``.
        threshold: Above it is ink, ``[B, 1]``.
        radius: In pixels, ``[B, 1]``.
        steepness: Pixels per unit of the waves' sum at the ink's edge, ``[B, 1]``.
    """

    shapes: Tensor
    across: Tensor
    down: Tensor
    waves: Tensor
    second: Tensor
    threshold: Tensor
    radius: Tensor
    steepness: Tensor


@lru_cache(maxsize=8)
def grid(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Makes the pixels' centres ``[3, size * size]``: x, y, 1, in image widths."""
    with torch.inference_mode(False):
        axis = (torch.arange(size, dtype=dtype, device=device) + 0.5) / size
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        return torch.stack([x.flatten(), y.flatten(), torch.ones_like(x).flatten()])


def place(values: dict[str, Tensor], classes: Tensor, size: int) -> Placement:
    """Places the object of each class in its image, so that all of it is inside.

    Args:
        values: The scenes' geometry in physical units, ``[B]`` each.
        classes: ``[B]`` int64, ascending.
        size: Height and width of the images.
    """
    radius = values["scale"]
    room = 0.5 - MARGIN - REACH * radius
    x, y = 0.5 + room * values["x"], 0.5 + room * values["y"]
    angle = values["rotation"] * (math.pi / 180)
    cos, sin = angle.cos() / radius, angle.sin() / radius
    across = torch.stack([cos, sin, -(cos * x + sin * y)], 1)
    down = torch.stack([-sin, cos, sin * x - cos * y], 1)
    fills = fill_index(classes)
    tables = [[table[fill] for fill in FILLS] for table in (PERIODS, SECOND, THRESHOLD)]
    period, second, threshold = radius.new_tensor(tables)[:, fills, None]
    start = torch.nn.functional.pad(values["phase"][:, None], (2, 0)) * (2 * math.pi)
    waves = torch.stack([down, across], 1) * (2 * math.pi / period[:, None]) - start[:, None]
    radius = radius[:, None] * size
    steepness = radius * period / (2 * math.pi)
    return Placement(
        shape_index(classes), across, down, waves, second, threshold, radius, steepness
    )


class Geometry(NamedTuple):
    """What the class and the geometry alone decide, per pixel.

    Args:
        distance: To the object's edge, negative inside, in radii, ``[B, size * size]``.
        waves: Sum of the pattern's waves; what is above the threshold is ink, likewise.
        placement: Of the objects.
    """

    distance: Tensor
    waves: Tensor
    placement: Placement

    def outside(self, edge: Tensor, inset: float = 0.0) -> Tensor:
        """Says how much of each pixel is outside the object, ``[B, size * size]`` in [0, 1].

        Args:
            edge: Softness in pixels, ``[B, 1]``.
            inset: How far inside the object's edge to put this one, in pixels.
        """
        return torch.addcmul(inset / edge, self.distance, self.placement.radius / edge).sigmoid_()

    def unmarked(self, edge: Tensor) -> Tensor:
        """Says how much of each pixel has no ink of the pattern, inside the object and out."""
        steep = self.placement.steepness / -edge
        return torch.addcmul(self.placement.threshold * -steep, self.waves, steep).sigmoid_()


def draw_geometry(placement: Placement, size: int) -> Geometry:
    """Draws distance and pattern; each shape is asked for its own images only.

    Waits for the device, to know how many images each shape has.
    """
    pixels = grid(size, placement.radius.dtype, placement.radius.device)
    counts = placement.shapes.bincount(minlength=len(SHAPES)).tolist()
    pairs = zip(
        *((row @ pixels).split(counts) for row in (placement.across, placement.down)), strict=True
    )
    found = [DISTANCES[name](u, v) for name, (u, v) in zip(SHAPES, pairs, strict=True) if len(u)]
    distance = found[0] if len(found) == 1 else torch.cat(found)
    along, across = ((wave @ pixels).cos_() for wave in placement.waves.unbind(1))
    return Geometry(distance, torch.addcmul(along, placement.second, across), placement)
