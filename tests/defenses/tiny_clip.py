"""Small stand-ins for a CLIP, and embeddings made of known concepts and a known nuisance."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.defenses.semantic import Words

WORDS = ("stripes", "dots", "wheels", "wings", "a long neck", "a beak", "fur", "four legs")
NUISANCES = ("in snow", "at night", "in fog")


class TinyClip(nn.Module):
    """A smooth encoder of images of any size; texts embed by a seed made of their letters."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.width = width
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
            nn.Linear(96, width),
        )  # fmt: skip
        self.scale = 20.0

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(4 * (images - 0.5))

    def text(self, texts: list[str]) -> Tensor:
        return torch.stack([self._word(text) for text in texts]).to(self.layers[0].weight)

    def _word(self, text: str) -> Tensor:
        seed = sum(ord(letter) * 31**place for place, letter in enumerate(text)) % 2**31
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(self.width, generator=generator) + 1


class Pixels(nn.Module):
    """An encoder that is linear in the pixels, so that an image with any embedding is known."""

    def __init__(self, width: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        mixing = torch.randn(3 * 8 * 8, width, generator=generator, dtype=torch.float64)
        self.register_buffer("mixing", mixing)
        self.register_buffer("inverse", torch.linalg.pinv(mixing))

    def forward(self, images: Tensor) -> Tensor:
        return (images.flatten(1) - 0.5) @ self.mixing

    def image_of(self, embeddings: Tensor) -> Tensor:
        """Images in [0, 1] whose embeddings are these, up to one factor for all of them."""
        pixels = embeddings @ self.inverse
        return (0.5 + 0.49 * pixels / pixels.abs().max()).view(-1, 3, 8, 8)


@dataclass
class Planted:
    """Embeddings of C classes: each class has some concepts, an image may have a nuisance."""

    embeddings: Tensor
    labels: Tensor
    weather: Tensor  # [n], which nuisance
    words: Words


def plant(
    count: int, *, rho: float = 0.0, width: int = 64, n_classes: int = 6, n_nuisances: int = 6,
    storm: float = 1.5, noise: float = 0.03, seed: int = 0,
) -> Planted:  # fmt: skip
    """Class evidence inside the span of 18 concepts, nuisance at right angles to it.

    With probability ``rho`` the nuisance is the favourite of the class, else any; ``storm`` is
    its size, where that of a concept is some 0.8.
    """
    generator = torch.Generator().manual_seed(11)
    basis = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))[0]
    inside, outside = basis[:24], basis[24 : 24 + n_nuisances]
    atoms = torch.randn(18, 24, generator=generator, dtype=torch.float64) @ inside
    atoms = functional.normalize(atoms, dim=1)
    owned = torch.stack([torch.randperm(18, generator=generator)[:4] for _ in range(n_classes)])
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % n_classes
    drawn = torch.randint(n_nuisances, (count,), generator=generator)
    is_favourite = torch.rand(count, generator=generator) < rho
    weather = torch.where(is_favourite, labels % n_nuisances, drawn)
    amount = 0.6 + 0.4 * torch.rand(count, 4, generator=generator, dtype=torch.float64)
    rows = torch.einsum("nk,nkm->nm", amount, atoms[owned[labels]])
    spot = noise * torch.randn(count, width, generator=generator, dtype=torch.float64)
    embeddings = functional.normalize(rows + storm * outside[weather] + spot, dim=1)
    names = tuple(f"concept {i}" for i in range(18))
    storms = tuple(f"nuisance {i}" for i in range(n_nuisances))
    return Planted(embeddings, labels, weather, Words(atoms, names, outside, storms))
