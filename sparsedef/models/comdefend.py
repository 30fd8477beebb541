"""ComDefend's two networks: one that compresses an image to bits, one that rebuilds it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from sparsedef.solvers.checks import check_count

# channels of the layers between image and code, in units of the width
_COMPRESS = (1, 2, 4, 8, 16, 8, 4, 2)
_REBUILD = (2, 4, 8, 16, 8, 4, 2, 1)
_ELU_GAIN = 1.25  # keeps the variance of a normal signal through an exponential linear unit


class ComDefendCodec(nn.Module):
    """Compresses images ``[B, 3, H, W]`` to 12 bits per pixel, half of what they have, and back.

    ComCNN and RecCNN, nine 3 x 3 convolutions each with exponential linear units between them:

    - ``encode``: ``x - 0.5`` to 12 numbers ``u`` per pixel; a bit of the code is ``u > 0``;
    - ``decode``: a code in [0, 1] to images, by a last sigmoid.

    Fully convolutional: images may have any size. The weights begin with a gain that carries the
    signal through all eighteen layers: at torch's own, a third of its variance a layer is left,
    the code says nothing of the image, and training ends at the mean image for most seeds.

    Args:
        width: Channels of the first layer; there are up to 16 times as many in the middle. The
            published networks have 16.
        sigma: Deviation of the noise that ``u`` has to outgrow in training: what small changes of
            an image could turn a bit, are to be too small for that.

    Source: Jia, Wei, Cao, Foroosh, 2019.
    """

    def __init__(self, width: int = 16, sigma: float = 20.0) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__()
        check_count("ComDefendCodec", "width", width)
        if not 0 < sigma < float("inf"):
            raise ValueError(f"ComDefendCodec: sigma must be finite and positive, got {sigma}")
        self.sigma = sigma
        self.compress = _convolutions(3, [width * each for each in _COMPRESS], 12)
        self.rebuild = _convolutions(12, [width * each for each in _REBUILD], 3)

    def encode(self, images: Tensor) -> Tensor:
        """Compresses images ``[B, 3, H, W]`` to ``u`` ``[B, 12, H, W]``, before any rounding."""
        code: Tensor = self.compress(images - 0.5)
        return code

    def decode(self, code: Tensor) -> Tensor:
        """Rebuilds images ``[B, 3, H, W]`` in [0, 1] from a code ``[B, 12, H, W]`` in [0, 1]."""
        images: Tensor = self.rebuild(code)
        return images.sigmoid()

    def forward(self, images: Tensor) -> Tensor:
        """Rebuilds images from their bits; no gradient passes through these."""
        return self.decode((self.encode(images) > 0).to(images))


def _convolutions(n_in: int, channels: Sequence[int], n_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for count in channels:
        layers += [nn.Conv2d(n_in, count, 3, padding=1), nn.ELU()]
        n_in = count
    net = nn.Sequential(*layers, nn.Conv2d(n_in, n_out, 3, padding=1))
    for layer in net:
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=_ELU_GAIN / math.sqrt(9 * layer.in_channels))
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return net
