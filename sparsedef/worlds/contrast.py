"""Visible by construction: after weather and light, colours are kept apart.

Three floors hold for every scene, however its parameters were chosen: the ink of outline and
pattern is darker than the background around the object by ``INK_BELOW_GROUND`` in luminance, and
than the object's colour by ``INK_BELOW_COLOUR``; the object's colour differs from that background
by ``APART`` in RGB (Euclidean; by 0.14 at least where the range of colours ends sooner).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LUMINANCE = (0.299, 0.587, 0.114)
INK_BELOW_GROUND, INK_BELOW_COLOUR = 0.19, 0.28
APART = 0.26
DARKEST_COLOUR = (0.31, 0.42)  # luminance of an object on dark ground and on light ground
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

    1. The colour is lightened to a luminance a little above the surroundings where those are
       dark, for there is no room below them, and to ``DARKEST_COLOUR`` where they are not.
    2. It is moved along the line from ``around`` through it until ``APART`` from ``around``, held
       in range, and lightened to ``DARKEST_COLOUR`` again.
    3. The ink is darkened until it is below both.

    A colour that is far enough stays. Continuous, except that step 2 cannot say where to go from
    ``around`` itself, a single point (no continuous map could); it goes to lighter then.

    Args:
        colour: The object's colour in this light, ``[B, 3]``.
        ink: Of outline and pattern in this light, ``[B, 3]``.
        around: Mean colour of the background around the object, ``[B, 3]``, each channel
            within ``DARKEST`` and ``LIGHTEST`` of the backgrounds.
    """
    level = luminance(around)
    darkest = (level - 0.1).clamp(*DARKEST_COLOUR)
    lighter = torch.minimum(level + 0.1, 0.495 + 4.5 * (0.395 - level))
    away = _lighten(colour, torch.maximum(lighter, darkest)) - around
    squared = away.square().sum(1, keepdim=True)
    is_same = squared < 1e-12
    away = torch.where(is_same, torch.full_like(away, APART), away)
    length = torch.where(is_same, torch.full_like(squared, 3 * APART**2), squared).sqrt()
    colour = (around + away * (APART / length).clamp_min(1)).clamp(BLACK, WHITE)
    colour = _lighten(colour, darkest)
    most = torch.minimum(level - INK_BELOW_GROUND, luminance(colour) - INK_BELOW_COLOUR)
    ink = ink * (most / luminance(ink)).clamp_max(1)[:, None]
    return Paint(colour, ink)


def _lighten(colour: Tensor, least: Tensor) -> Tensor:
    """Mixes white into ``[B, 3]`` until its luminance is at least ``least`` ``[B]``."""
    level = luminance(colour)
    share = (least - level).clamp_min(0) / (WHITE - level).clamp_min(0.01)
    return colour + share[:, None] * (WHITE - colour)
