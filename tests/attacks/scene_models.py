"""Scenes, and models of them that are sensitive to one thing only, for attacks to be tried on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sparsedef.worlds.parameters import CONDITIONS, columns
from sparsedef.worlds.sampler import sample_scenes
from sparsedef.worlds.scenes import Scenes

SIZE = 16
BORDER = 2  # pixels that no object reaches


def clear_scenes() -> Scenes:
    """Five scenes of all sorts, in clear weather and of middle brightness, none on the sand."""
    scenes = sample_scenes(torch.Generator().manual_seed(0), 6)
    scenes = scenes[torch.tensor([0, 2, 3, 4, 5])]
    parameters = scenes.parameters.double()
    parameters[:, columns(CONDITIONS)] = 0.02
    parameters[:, columns(["brightness"])] = 0.5
    return scenes.with_parameters(parameters)


def zeros(scenes: Scenes) -> Tensor:
    return torch.zeros(len(scenes), dtype=torch.long)


def two_classes(score: Tensor) -> Tensor:
    return torch.stack([torch.zeros_like(score), score], 1)


def border(images: Tensor) -> Tensor:
    """The mean colour of the border, ``[B, 3]``."""
    top, bottom = images[:, :, :BORDER], images[:, :, -BORDER:]
    return torch.cat([top, bottom], 2).mean((2, 3))


def fears_white(images: Tensor) -> Tensor:
    """Class 1 where the ground is white, as in snow."""
    return two_classes(border(images).amin(1) - 0.57)


def fears_dark(images: Tensor) -> Tensor:
    """Class 1 where the picture is dark."""
    return two_classes(0.26 - images.mean((1, 2, 3)))


def fears_nothing(images: Tensor) -> Tensor:
    """Class 0 whatever the picture shows."""
    return two_classes(-1 + 0 * images.mean((1, 2, 3)))


class Waves(nn.Module):
    """A smooth model with many tops: random features of a coarse picture, through a sine."""

    def __init__(self, offset: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.randn(3 * 16, 4, generator=generator, dtype=torch.float64)
        self.offset = offset

    def forward(self, images: Tensor) -> Tensor:
        coarse = nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)
        waves = torch.sin(1.5 * (coarse - 0.4) @ self.weight.to(images))
        return torch.cat([self.offset + 0 * waves[:, :1], waves], 1)
