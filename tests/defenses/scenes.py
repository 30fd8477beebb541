"""Images to defend, and a classifier of them, for the tests of single defenses."""

import torch
from torch import Tensor, nn


def make_scenes(count: int, side: int = 24, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A bright or a dark square on grey, with noise: images ``[B, 3, H, W]`` and labels."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.5 + 0.04 * torch.randn(count, 3, side, side, generator=generator)
    labels = torch.arange(count) % 2
    quarter = side // 4
    square = (slice(None), slice(None), slice(quarter, 3 * quarter), slice(quarter, 3 * quarter))
    images[square] += 0.15 * (2 * labels - 1)[:, None, None, None]
    return images.clamp(0, 1), labels


def make_net(side: int = 24) -> nn.Module:
    """A small net, trained on such scenes until it knows them."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(6), nn.Flatten(),
        nn.Linear(288, 2),
    )  # fmt: skip
    images, labels = make_scenes(64, side, seed=1)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimiser.step()
    return net.eval().requires_grad_(False)
