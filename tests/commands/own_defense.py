"""A defense as a user has it: in a file of his own, and random."""

import torch
from torch import Tensor, nn


class Noisy(nn.Module):
    """Adds noise before it classifies, and says that it is random."""

    is_random = True

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier((images + 0.05 * torch.randn_like(images)).clamp(0, 1))


def noisy(classifier: nn.Module, images: Tensor, labels: Tensor) -> nn.Module:
    return Noisy(classifier)


def broken(classifier: nn.Module, images: Tensor, labels: Tensor) -> nn.Module:
    raise KeyError("no such key")
