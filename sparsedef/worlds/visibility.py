"""How visible is what an image shows? Measured in its pixels, after all weather and light."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sparsedef.worlds.classes import FILLS, fill_index
from sparsedef.worlds.contrast import luminance
from sparsedef.worlds.inputs import check_scenes
from sparsedef.worlds.renderer import class_mask


class Visibility(NamedTuple):
    """Contrasts of an image's object, ``[B]`` each.

    Args:
        object: Mean distance of the object's pixels from the mean colour of the surroundings,
            Euclidean in RGB.
        tones: Luminance of the object's colour minus that of the pattern's ink, means over
            where they are; infinite for a plain object, which has one tone.
    """

    object: Tensor
    tones: Tensor


def visibility(images: Tensor, parameters: Tensor, classes: Tensor) -> Visibility:
    """Measures how well the object of each image stands out.

    A mean over a part of the class mask weighs each pixel by the square of the part's share of
    it, so that pixels on an edge count little.

    Args:
        images: ``[B, 3, size, size]`` in [0, 1]: scenes, rendered.
        parameters: Of the scenes, ``[B, P]``; the geometry is read.
        classes: Of the scenes, ``[B]`` int64.
    """
    check_scenes("visibility", parameters, classes, None)
    mask = class_mask(parameters, classes, size=images.shape[-1])

    def mean(values: Tensor, share: Tensor) -> Tensor:
        weights = share.square()[:, None]
        return (values * weights).flatten(2).sum(2) / weights.flatten(2).sum(2)

    around = mean(images, mask.ring)[:, :, None, None]
    distance = (images - around).norm(dim=1, keepdim=True)
    light = luminance(images.movedim(1, 3))[:, None]
    tones = mean(light, mask.colour) - mean(light, mask.pattern)
    is_plain = fill_index(classes) == FILLS.index("plain")
    return Visibility(
        mean(distance, mask.coverage)[:, 0], torch.where(is_plain, torch.inf, tones[:, 0])
    )
