"""A classifier by anchors in three lines, for tests of its training."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Head(nn.Module):
    """An encoder of 12 numbers, and three anchors."""

    def __init__(self, temperature: float = 1.0, *, has_norm: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            middle = [nn.BatchNorm1d(5)] if has_norm else []
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), *middle)
            self.anchors = functional.normalize(torch.randn(3, 5), dim=1)
        self.temperature = temperature

    def embed(self, images: Tensor) -> Tensor:
        return self.encoder(images)

    def classify(self, features: Tensor) -> Tensor:
        return functional.normalize(features, dim=1) @ self.anchors.T / self.temperature

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.embed(images))
