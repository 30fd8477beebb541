"""A world of some scenes and an encoder that was never trained, for the mechanics alone."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from sparsedef.evaluation import Cache
from sparsedef.reproduce.ssd_world import Sizes, World

SIZES = Sizes(
    n_train=240, n_validation=5, n_test=6, n_random=2, steps=2, restarts=1, supports=(2, 4), few=5,
    pixel_steps=1,
)  # fmt: skip


class TinyEncoder(nn.Module):
    """Colours of a coarse picture, mixed; texts embed by a seed made of their letters."""

    name = "tiny"
    tokenize = None

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.width = width
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Linear(108, 64), nn.Tanh(),
            nn.Linear(64, width),
        )  # fmt: skip
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(4 * (images - 0.4))

    def text(self, texts: list[str]) -> Tensor:
        return torch.stack([self._word(text) for text in texts])

    def _word(self, text: str) -> Tensor:
        seed = sum(ord(letter) * 31**place for place, letter in enumerate(text)) % 2**31
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(self.width, generator=generator) + 1


def tiny_world(folder: Path, sizes: Sizes = SIZES, seed: int = 0) -> World:
    return World(TinyEncoder(), Cache(folder / "cache", {}), sizes, seed)  # type: ignore[arg-type]
