"""A small training of CARSO's purifier that can be stopped."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sparsedef.models import SmallCNN
from sparsedef.models.carso import CARSOPurifier
from sparsedef.models.taps import read_layers
from sparsedef.training import Trained
from sparsedef.training.carso import AttackMix, train_carso

TAPS = ("features.0", "features.6")


def make_images(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    smooth = torch.rand(count, 3, 4, 4, generator=generator)
    return nn.functional.interpolate(smooth, size=16)


def without_norm(net: nn.Module) -> None:
    for name, part in net.named_children():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            setattr(net, name, nn.Identity())
        else:
            without_norm(part)


def run(
    *, stop: int | None = None, has_norm: bool = True, n_ranks_of_rate: int = 1, **options: Any
) -> tuple[CARSOPurifier, Trained]:
    """Trains; interrupted at minibatch ``stop``, if that is given."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        classifier = SmallCNN(4, 16, width=4).eval().requires_grad_(False)
        net = CARSOPurifier([[4, 8, 8], [16, 2, 2]], 16, condition=6, latent=3, width=8)
    if not has_norm:
        without_norm(net)
    images, labels = make_images(24), torch.arange(24) % 4
    count = 0

    def features(seen: Tensor) -> list[Tensor]:
        nonlocal count
        count += 1
        if stop is not None and count > stop:
            raise KeyboardInterrupt
        return read_layers(classifier, TAPS, seen)

    given: Callable[..., Trained] = train_carso
    settings = {"epochs": 3, "batch_size": 8, "seed": 2, "is_silent": True, **options}
    trained = given(
        net, classifier, features, images, labels,
        mix=AttackMix((0.02, 0.05), steps=2), **settings,
    )  # fmt: skip
    return net, trained
