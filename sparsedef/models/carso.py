"""CARSO's purifier: a conditional autoencoder that draws clean images from inner features."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from sparsedef.models.normalised import Normalise
from sparsedef.solvers.checks import check_count

SLOPE = 0.2
FEWEST_CHANNELS = 4
LARGEST_ODD = 32  # sides up to this are decoded by the odd sizes of the published CIFAR decoder


class CARSOPurifier(nn.Module):
    """Draws clean images, given a classifier's features of what may be an attacked one.

    - ``condition``: each layer's features through convolutions 3 x 3 without padding that halve the
      channels each time, all joined and mapped to one vector c ``[B, condition]``;
    - ``posterior``: the image, compressed, and c to mean and log-variance of z ``[B, latent]``;
      for training only;
    - ``decode``: z and c to an image in [0, 1].

    The defaults are the published sizes for CIFAR-10 and CIFAR-100, where WRN-28-10's 26 layers
    are joined to 147,040 numbers; for TinyImageNet they are ``n_convolutions=4, condition=768,
    latent=192``. Where a feature map is too small for its convolutions, some of them are padded.

    Args:
        shapes: Of the features, ``[C, H, W]`` for each layer.
        size: Height and width of the images, or one number for both.
        n_convolutions: For each layer.
        condition: Width of c.
        latent: Width of z; 0: there is none, and ``decode`` is a denoiser.
        width: Channels that the decoder begins with.
        mean: Of the training images per channel.
        std: The same.

    Raises:
        ValueError: A number is out of range.

    Example:
        >>> net = CARSOPurifier([[16, 8, 8]], 32, condition=12, latent=5, width=16).eval()
        >>> c = net.condition([torch.rand(2, 16, 8, 8)])
        >>> c.shape, net.decode(torch.zeros(2, 5), c).shape
        (torch.Size([2, 12]), torch.Size([2, 3, 32, 32]))

    Source: Ballarin, Ansuini, Bortolussi, 2023: CARSO; sizes as in its public code.
    """

    def __init__(
        self,
        shapes: Sequence[Sequence[int]],
        size: int | Sequence[int],
        *,
        n_convolutions: int = 3,
        condition: int = 512,
        latent: int = 128,
        width: int = 256,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.25, 0.25, 0.25),
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__()
        for name, value in (("n_convolutions", n_convolutions), ("condition", condition)):
            check_count("CARSOPurifier", name, value)
        check_count("CARSOPurifier", "latent", latent, least=0)
        if not shapes or any(len(shape) != 3 for shape in shapes):
            raise ValueError(f"CARSOPurifier: shapes must be [C, H, W] per layer, got {shapes}")
        height, width_ = (size, size) if isinstance(size, int) else size
        self.latent, self.image_size = latent, (height, width_)
        self.compressors = nn.ModuleList()
        n_joined = 0
        for channels, *sides in shapes:
            layers, n_out, sides = _compressor(channels, sides, n_convolutions)
            self.compressors.append(layers)
            n_joined += n_out * sides[0] * sides[1]
        self.n_joined = n_joined
        self.joined = nn.Sequential(
            nn.Linear(n_joined, condition), nn.BatchNorm1d(condition), nn.LeakyReLU(SLOPE)
        )
        if latent:
            self.pixels = nn.Sequential(
                Normalise(mean, std), *_halving(3, 6), *_halving(6, 12), nn.Flatten()
            )
            n_pixels = 12 * -(-height // 4) * -(-width_ // 4)
            self.both = nn.Sequential(
                nn.Linear(n_pixels + condition, latent), nn.BatchNorm1d(latent),
                nn.LeakyReLU(SLOPE),
            )  # fmt: skip
            self.mu = nn.Linear(latent, latent)
            self.log_variance = nn.Linear(latent, latent)
        self.decoder = Decoder(latent + condition, self.image_size, width=width)

    def condition(self, features: Sequence[Tensor]) -> Tensor:
        """Joins features, one ``[B, C, H, W]`` per layer, to c ``[B, condition]``."""
        parts = [net(each) for net, each in zip(self.compressors, features, strict=True)]
        c: Tensor = self.joined(torch.cat([part.flatten(1) for part in parts], 1))
        return c

    def posterior(self, images: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance ``[B, latent]`` of z, given images ``[B, 3, H, W]`` and c."""
        both = self.both(torch.cat([self.pixels(images), c], 1))
        return self.mu(both), self.log_variance(both)

    def decode_logits(self, z: Tensor, c: Tensor) -> Tensor:
        """Images before the last sigmoid, ``[B, 3, H, W]``, of z ``[B, latent]`` and c."""
        logits: Tensor = self.decoder(torch.cat([z.to(c), c], 1))
        return logits

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """Images ``[B, 3, H, W]`` in [0, 1], in single precision at least."""
        logits = self.decode_logits(z, c)
        return (logits if logits.dtype == torch.float64 else logits.float()).sigmoid()

    def forward(
        self, features: Sequence[Tensor], images: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A training pass: image logits, mean and log-variance; ``noise`` ``[B, latent]``."""
        c = self.condition(features)
        if noise is None:
            nothing = c.new_zeros(len(c), 0)
            return self.decode_logits(nothing, c), nothing, nothing
        mu, log_variance = self.posterior(images, c)
        z = mu + (log_variance / 2).exp() * noise
        return self.decode_logits(z, c), mu, log_variance


class Decoder(nn.Module):
    """A vector to image logits by transposed convolutions: a linear map, then doubled four times.

    As published: sides 3, 5, 9, 17, 33 and a last one of 2 x 2 for images of 32 pixels; sides 4,
    8, 16, 32, 64 and a last one of 3 x 3 for 64. Other sizes are cut from the next larger picture.

    Args:
        n_joined: Width of the vector.
        size: Height and width of the images.
        width: Channels that it begins with; half as many after each doubling.
    """

    def __init__(self, n_joined: int, size: Sequence[int], *, width: int) -> None:
        """Makes the layers; see the class."""
        super().__init__()
        check_count("Decoder", "width", width)
        is_odd = max(size) <= LARGEST_ODD
        self.size = tuple(size)
        self.start = (width, *(-(-side // 16) + is_odd for side in size))
        first = self.start[0] * self.start[1] * self.start[2]
        self.linear = nn.Sequential(nn.Linear(n_joined, first), nn.LeakyReLU(SLOPE))
        layers: list[nn.Module] = []
        channels = [width, *(max(FEWEST_CHANNELS, width >> i) for i in range(4))]
        for n_in, n_out in pairwise(channels):
            layers += [
                nn.ConvTranspose2d(
                    n_in, n_out, 3, stride=2, padding=1, output_padding=0 if is_odd else 1,
                    bias=False,
                ),
                nn.BatchNorm2d(n_out),
                nn.LeakyReLU(SLOPE),
            ]  # fmt: skip
        side = 2 if is_odd else 3
        self.doubled = nn.Sequential(*layers, nn.ConvTranspose2d(channels[-1], 3, side, padding=1))

    def forward(self, joined: Tensor) -> Tensor:
        """Maps ``[B, n_joined]`` to ``[B, 3, H, W]``."""
        whole: Tensor = self.doubled(self.linear(joined).view(-1, *self.start))
        top, left = ((have - side) // 2 for have, side in zip(whole.shape[2:], self.size,
                                                             strict=True))  # fmt: skip
        return whole[:, :, top : top + self.size[0], left : left + self.size[1]]


def _compressor(
    n_channels: int, sides: Sequence[int], count: int
) -> tuple[nn.Module, int, list[int]]:
    """Convolutions that halve the channels each; the channels and sides that come out."""
    channels = [n_channels, *(max(FEWEST_CHANNELS, n_channels >> i + 1) for i in range(count))]
    layers: list[nn.Module] = []
    now = list(sides)
    for n_in, n_out in pairwise(channels):
        padding = 0 if min(now) >= 4 else 1
        layers += [
            nn.Conv2d(n_in, n_out, 3, padding=padding, bias=False),
            nn.BatchNorm2d(n_out),
            nn.LeakyReLU(SLOPE),
        ]
        now = [side - 2 + 2 * padding for side in now]
    return nn.Sequential(*layers), channels[-1], now


def _halving(n_in: int, n_out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), nn.BatchNorm2d(n_out), nn.LeakyReLU(SLOPE)
    ]  # fmt: skip
