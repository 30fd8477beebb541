"""Image encoders of few-shot learning: a small backbone and a linear map, without classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.models.normalised import IMAGENET_MEAN, IMAGENET_STD, Normalise
from sparsedef.models.seeded import seeded
from sparsedef.solvers.checks import check_choice, check_count

BACKBONES: Mapping[str, tuple[int, ...]] = {
    "conv4": (512, 512, 512, 512),
    "resnet12": (64, 160, 320, 640),
    "tiny": (16, 32, 32, 64),
}


class EmbeddingNet(nn.Module):
    """Embeds images: normalise, backbone, average over positions, ``Linear`` without bias.

    Args:
        width: M, of the features.
        backbone: ``"conv4"`` (four of convolution 3x3, batch normalisation, ReLU, maximum of 2x2;
            512 channels), ``"resnet12"`` (four residual blocks of three convolutions, 64 to 640
            channels, leaky ReLU), or ``"tiny"`` (``conv4`` of 16 to 64 channels).
        mean: Of the pixels, per channel.
        std: Their standard deviation.

    Raises:
        ValueError: The backbone is unknown, or a number too small.

    Source: Conv4, Vinyals et al., 2016; ResNet12, Oreshkin, Lopez, Lacoste, 2018. Without
    DropBlock.
    """

    def __init__(
        self,
        width: int,
        backbone: str = "conv4",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__()
        check_count("EmbeddingNet", "width", width)
        check_choice("EmbeddingNet", "backbone", backbone, tuple(BACKBONES))
        self.normalise = Normalise(mean, std)
        channels = BACKBONES[backbone]
        block = _residual if backbone == "resnet12" else _convolution
        pairs = zip((3, *channels), channels, strict=False)
        self.backbone = nn.Sequential(*(block(before, after) for before, after in pairs))
        self.project = nn.Linear(channels[-1], width, bias=False)
        # convolutions of few channels take half as long so on a CPU; the numbers are the same
        untyped: Any = self
        untyped.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Embeds images ``[B, 3, H, W]`` in [0, 1], at least 16 high and wide: ``[B, M]``."""
        pixels = self.normalise(images).contiguous(memory_format=torch.channels_last)
        features = self.backbone(pixels).mean((2, 3))
        found: Tensor = self.project(features)
        return found


def build_embedding_net(*, seed: int, **settings: object) -> EmbeddingNet:
    """Builds one whose random weights ``seed`` decides; torch's own state is left alone."""
    with seeded(seed):
        return EmbeddingNet(**settings)  # type: ignore[arg-type]


def _convolution(before: int, after: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


def _residual(before: int, after: int) -> nn.Module:
    return ResidualBlock(before, after)


class ResidualBlock(nn.Module):
    """Three convolutions beside one of 1x1, leaky ReLU of 0.1, then the maximum of 2x2.

    Args:
        before: Channels that come in.
        after: Channels that go out.
    """

    def __init__(self, before: int, after: int) -> None:
        """Builds the layers."""
        super().__init__()
        layers: list[nn.Module] = []
        for number, channels in enumerate((before, after, after)):
            layers.append(nn.Conv2d(channels, after, 3, padding=1, bias=False))
            layers.append(nn.BatchNorm2d(after))
            if number < 2:
                layers.append(nn.LeakyReLU(0.1))
        self.main = nn.Sequential(*layers)
        self.beside = nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[B, before, H, W]`` to ``[B, after, H // 2, W // 2]``."""
        found = functional.leaky_relu(self.main(x) + self.beside(x), 0.1)
        return functional.max_pool2d(found, 2)
