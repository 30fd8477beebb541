"""Wide residual networks for images of some 32 pixels, every layer by a name of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor, nn

from sparsedef.models.normalised import Normalise

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2471, 0.2435, 0.2616)
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU}
NAME = re.compile(r"wrn-(\d+)-(\d+)(?:-(\w+))?")


class WideBlock(nn.Module):
    """Two 3 x 3 convolutions, each after normalisation and activation, around a shortcut.

    y = conv_1(act(bn_1(conv_0(a)))) + s with a = act(bn_0(x)); s is x itself, or, where the number
    of channels or the resolution changes, the 1 x 1 convolution ``shortcut`` of a.
    """

    def __init__(self, n_in: int, n_out: int, stride: int, activation: type[nn.Module]) -> None:
        """Makes the layers; see the class."""
        super().__init__()
        self.bn_0 = nn.BatchNorm2d(n_in)
        self.act_0 = activation()
        self.conv_0 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.bn_1 = nn.BatchNorm2d(n_out)
        self.act_1 = activation()
        self.conv_1 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.shortcut = (
            nn.Conv2d(n_in, n_out, 1, stride, bias=False) if n_in != n_out or stride > 1 else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[B, n_in, H, W]`` to ``[B, n_out, H / stride, W / stride]``."""
        active = self.act_0(self.bn_0(x))
        kept = x if self.shortcut is None else self.shortcut(active)
        out: Tensor = self.conv_1(self.act_1(self.bn_1(self.conv_0(active)))) + kept
        return out


class WideResNet(nn.Module):
    """WRN-depth-width: images ``[B, 3, H, W]`` in [0, 1] to logits, normalised inside.

    A convolution to 16 channels, three groups of (depth - 4) / 6 blocks with 16, 32, 64 times
    ``width`` channels, the second and third at half the resolution of the one before; average
    over space; linear. No dropout. Layers are called ``conv``, ``groups.G.B.conv_0``,
    ``groups.G.B.conv_1``, ``groups.G.B.shortcut``, ``bn``, ``act``, ``head``.

    Args:
        n_classes: Number of classes.
        depth: 6 n + 4 with n >= 1 blocks a group: 10, 16, 22, 28, ...
        width: Factor of the channels.
        activation: ``"relu"`` as published or ``"silu"``.
        mean: Of the training images per channel; CIFAR-10's if not given.
        std: The same.

    Raises:
        ValueError: A setting is out of range.

    Example:
        >>> import torch
        >>> WideResNet(10, depth=10, width=1)(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])

    Source: Zagoruyko, Komodakis, Wide residual networks, 2016.
    """

    def __init__(
        self,
        n_classes: int,
        *,
        depth: int = 28,
        width: int = 10,
        activation: str = "relu",
        mean: Sequence[float] = CIFAR10_MEAN,
        std: Sequence[float] = CIFAR10_STD,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"WideResNet: depth must be 6 n + 4 with n >= 1, got {depth}")
        if width < 1 or n_classes < 1:
            raise ValueError(
                f"WideResNet: width and n_classes must be >= 1, got {width} and {n_classes}"
            )
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"WideResNet: activation must be one of {list(ACTIVATIONS)}, got {activation!r}"
            )
        kind = ACTIVATIONS[activation]
        self.normalise = Normalise(mean, std)
        self.conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.groups = nn.ModuleList()
        n_in = 16
        for number in range(3):
            n_out = 16 * width * 2**number
            blocks = nn.Sequential()
            for block in range((depth - 4) // 6):
                stride = 2 if number and not block else 1
                blocks.append(WideBlock(n_in, n_out, stride, kind))
                n_in = n_out
            self.groups.append(blocks)
        self.bn = nn.BatchNorm2d(n_in)
        self.act = kind()
        self.head = nn.Linear(n_in, n_classes)
        self.apply(_start)

    def forward(self, images: Tensor) -> Tensor:
        """Classifies images ``[B, 3, H, W]``: logits ``[B, n_classes]``."""
        x = self.conv(self.normalise(images))
        for group in self.groups:
            x = group(x)
        logits: Tensor = self.head(self.act(self.bn(x)).mean((2, 3)))
        return logits

    def block_convolutions(self) -> tuple[str, ...]:
        """Names of the convolutions in the blocks, in the order of the network.

        Both of each block, and the shortcuts of the second and third group: for WRN-28-10 the 26
        layers that CARSO reads. (The first group's shortcut sees little but the image itself.)
        """
        names = []
        for name, module in self.named_modules():
            is_inner = name.startswith("groups.") and isinstance(module, nn.Conv2d)
            if is_inner and not (name.startswith("groups.0.") and name.endswith("shortcut")):
                names.append(name)
        return tuple(names)


def wide_resnet(name: str, n_classes: int) -> WideResNet:
    """Makes the network that a name like ``"wrn-28-10"`` or ``"wrn-10-2-silu"`` describes.

    Args:
        name: ``wrn-DEPTH-WIDTH``, and maybe ``-relu`` (the default) or ``-silu``.
        n_classes: Number of classes.

    Raises:
        ValueError: No such name.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"wide_resnet: name must be like 'wrn-28-10', got {name!r}")
    depth, width, activation = match.groups()
    return WideResNet(
        n_classes, depth=int(depth), width=int(width), activation=activation or "relu"
    )


def _start(module: nn.Module) -> None:
    """Kaiming's start for convolutions: variance kept backwards through rectifiers."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
