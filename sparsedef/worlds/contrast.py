"""Visible by construction: after weather and light, colours are kept apart.

Three floors hold for every scene, however its parameters were chosen: the ink of outline and
pattern is darker than the background around the object by ``INK_BELOW`` in luminance, and than the
object's colour by as much; the object's colour differs from that background by at least ``APART``
in RGB (Euclidean, a little less near the ends of the range).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LUMINANCE = (0.299, 0.587, 0.114)
INK_BELOW_GROUND, INK_BELOW_COLOUR = 0.19, 0.27
APART = 0.26
BLACK, WHITE = 0.03, 0.97  # the range of every colour, so that grain stays within [0, 1]


class Paint(NamedTuple):
    """The object's final colours, ``[B, 3]`` each."""

    colour: Tensor
    ink: Tensor


def luminance(colours: Tensor) -> Tensor:
    """Weighs red, green and blue of ``[..., 3]``: ``0.299 R + 0.587 G + 0.114 B`` (BT.601)."""
    return colours @ colours.new_tensor(LUMINANCE)


def keep_apart(colour: Tensor, ink: Tensor, around: Tensor) -> Paint:
    """Moves the object's colours away from its surroundings and from each other, where too near.

    1. The colour is lightened until its luminance is at least ``least``: a little above
       the surroundings where those are dark, 0.24 where they are light.
    2. It is moved along the line from ``around`` through it until ``APART`` from ``around``, and
       held in range. A colour that is far enough stays.
    3. The ink is darkened until ``INK_BELOW`` both.

    Continuous, except that step 2 cannot say where to go from ``around`` itself, a single point
    (no continuous map could); it goes to lighter then.

    Args:
        colour: The object's colour in this light, ``[B, 3]``.
        ink: Of outline and pattern in this light, ``[B, 3]``.
        around: Mean colour of the background around the object, ``[B, 3]``, each channel
            within ``DARKEST`` and ``LIGHTEST`` of the backgrounds.
    """
    level = luminance(around)
    least = torch.minimum(level + 0.1, 1.42 - 2 * level).clamp_min(0.36)
    lack = (least - luminance(colour)).clamp_min(0) / (WHITE - luminance(colour))
    colour = colour + lack[:, None] * (WHITE - colour)
    away = colour - around
    squared = away.square().sum(1, keepdim=True)
    is_same = squared < 1e-12
    away = torch.where(is_same, torch.full_like(away, APART), away)
    length = torch.where(is_same, torch.full_like(squared, 3 * APART**2), squared).sqrt()
    colour = (around + away * (APART / length).clamp_min(1)).clamp(BLACK, WHITE)
    most = torch.minimum(level - INK_BELOW_GROUND, luminance(colour) - INK_BELOW_COLOUR)
    ink = ink * (most / luminance(ink)).clamp_max(1)[:, None]
    return Paint(colour, ink)
