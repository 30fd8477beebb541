"""A small trained net and models around it, for attacks to be tried on."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional


def quadrants(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Gray images ``[B, 1, 8, 8]`` with noise, one quadrant brighter by 0.3: that is the class."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (count,), generator=draw)
    bright = functional.one_hot(labels, 4).float().view(count, 1, 2, 2)
    bright = bright.repeat_interleave(4, 2).repeat_interleave(4, 3)
    noise = 0.1 * torch.randn(count, 1, 8, 8, generator=draw)
    return (0.35 + 0.3 * bright + noise).clamp(0, 1), labels


@cache
def trained_net() -> nn.Module:
    """A net that tells the quadrants apart; training takes less than a second."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4))
        images, labels = quadrants(512, seed=1)
        optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
        for _ in range(150):
            optimizer.zero_grad()
            functional.cross_entropy(net(images), labels).backward()
            optimizer.step()
    return net.requires_grad_(False).eval()


def right_images(model: nn.Module, count: int = 40) -> tuple[Tensor, Tensor]:
    """Fresh images that ``model`` gets right, at most ``count``."""
    images, labels = quadrants(count, seed=2)
    right = model(images).argmax(1) == labels
    return images[right], labels[right]


class Rounded(nn.Module):
    """Masks the gradient: rounds its input to 8 levels, so the gradient is zero almost everywhere.

    It does not say so (``has_exact_gradient``), and ships no surrogate.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return self.net((images * 7).round() / 7)


class Noisy(nn.Module):
    """Adds noise to its input."""

    is_random = True

    def __init__(self, net: nn.Module, sigma: float) -> None:
        super().__init__()
        self.net = net
        self.sigma = sigma

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images + self.sigma * torch.randn_like(images))


class Linear(nn.Module):
    """Logits ``(sum(weight * x) + offset, 0)``: class 0 where the score is positive.

    Each row is summed by itself, so no answer depends on the batch.
    """

    def __init__(self, weight: Tensor, offset: float) -> None:
        super().__init__()
        self.weight = weight
        self.offset = offset
        self.n_looks = 0  # images seen

    def forward(self, images: Tensor) -> Tensor:
        assert images.min() >= 0
        assert images.max() <= 1
        self.n_looks += len(images)
        score = (images * self.weight).flatten(1).sum(1) + self.offset
        return torch.stack([score, torch.zeros_like(score)], 1)
