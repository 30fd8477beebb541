"""Making a purifier for a classifier: its shapes, its sizes, its training; and reading it back."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from sparsedef.learning.ranks import ALONE, Ranks
from sparsedef.models.carso import CARSOPurifier
from sparsedef.models.checkpoint import load_network
from sparsedef.models.seeded import seeded
from sparsedef.models.taps import read_layers, tapped_layers
from sparsedef.training.carso import AttackMix, attack_radii, train_carso
from sparsedef.training.descent import Trained
from sparsedef.training.inner import evaluation_mode
from sparsedef.training.state import digest


@dataclass(frozen=True)
class Sizes:
    """How large a purifier is, and how it is trained.

    Args:
        n_convolutions: Of each layer's compressor.
        condition: Width of c.
        latent: Width of z.
        width: Channels that the decoder begins with.
        fraction: Of the images that are attacked.
        epochs: Passes over the images.
        batch_size: Of a minibatch.
        attack_steps: Of the training's PGD; its step keeps 40 steps' way.
        lr: Peak of the rate; ``None``: the published rule.
        n_images: At most.
    """

    n_convolutions: int = 3
    condition: int = 512
    latent: int = 128
    width: int = 256
    fraction: float = 0.5
    epochs: int = 200
    batch_size: int = 5120
    attack_steps: int = 40
    lr: float | None = None
    n_images: int | None = None

    def mix(self, std: Sequence[float], *, nominal: bool = False) -> AttackMix:
        """The attacks of the training; fewer steps are longer ones."""
        step_size = 0.01 * 40 / self.attack_steps
        return AttackMix(
            attack_radii(std, nominal=nominal), self.fraction, self.attack_steps, step_size
        )


# as published, then what trains on two cores in minutes
PRESETS: Mapping[str, Sizes] = {
    "cifar10": Sizes(),
    "cifar100": Sizes(fraction=0.15, batch_size=2560),
    "tinyimagenet": Sizes(
        n_convolutions=4, condition=768, latent=192, fraction=0.01, epochs=250, batch_size=1024
    ),
    # a higher rate than the published rule's for minibatches so small
    "small": Sizes(
        condition=64, latent=16, width=64, epochs=40, batch_size=32, attack_steps=10, lr=8e-3
    ),
}  # fmt: skip
BRIEF = replace(PRESETS["small"], width=32, epochs=12, attack_steps=2, n_images=1200)


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation per channel of images ``[B, 3, H, W]``; a deviation of 1/255 at least."""
    std, mean = torch.std_mean(images.double(), (0, 2, 3), correction=0)
    return tuple(mean.tolist()), tuple(std.clamp_min(1 / 255).tolist())


def purifier_settings(
    classifier: nn.Module, images: Tensor, sizes: Sizes, *, taps: Sequence[str] | None = None
) -> dict[str, Any]:
    """The keywords of a ``CARSOPurifier`` that fits a classifier, as plain values."""
    names = tapped_layers(classifier) if taps is None else tuple(taps)
    with torch.no_grad(), evaluation_mode(classifier):
        like = next(classifier.parameters(), images)
        found = read_layers(classifier, names, images[:1].to(like))
    mean, std = channel_statistics(images)
    return {
        "shapes": [list(each.shape[1:]) for each in found], "size": list(images.shape[-2:]),
        "n_convolutions": sizes.n_convolutions, "condition": sizes.condition,
        "latent": sizes.latent, "width": sizes.width, "mean": list(mean), "std": list(std),
    }  # fmt: skip


def make_purifier(settings: Mapping[str, Any], *, seed: int) -> CARSOPurifier:
    """Makes a purifier whose start ``seed`` decides; the caller's random state stays."""
    with seeded(seed):
        return CARSOPurifier(**settings)


def features_of(classifier: nn.Module, taps: Sequence[str]) -> Callable[[Tensor], list[Tensor]]:
    """Images to the features of some layers."""

    def features(images: Tensor) -> list[Tensor]:
        return read_layers(classifier, taps, images)

    return features


def fit_purifier(
    classifier: nn.Module,
    images: Tensor,
    labels: Tensor,
    sizes: Sizes,
    *,
    seed: int = 0,
    taps: Sequence[str] | None = None,
    nominal: bool = False,
    is_silent: bool = True,
) -> CARSOPurifier:
    """Makes and trains a purifier on the images given; no gradients for it afterwards."""
    images, labels = images[: sizes.n_images], labels[: sizes.n_images]
    settings = purifier_settings(classifier, images, sizes, taps=taps)
    purifier = make_purifier(settings, seed=seed).to(images)
    run_training(
        purifier, classifier, images, labels, sizes, taps=taps, nominal=nominal, seed=seed,
        is_silent=is_silent,
    )  # fmt: skip
    return purifier.requires_grad_(False).eval()


def run_training(
    purifier: CARSOPurifier,
    classifier: nn.Module,
    images: Tensor,
    labels: Tensor,
    sizes: Sizes,
    *,
    taps: Sequence[str] | None = None,
    nominal: bool = False,
    autocast: torch.dtype | None = None,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_steps: int | None = None,
    ranks: Ranks = ALONE,
    is_silent: bool = False,
) -> Trained:
    """Trains a purifier in place as ``sizes`` say; see ``train_carso``."""
    names = tapped_layers(classifier) if taps is None else tuple(taps)
    _, std = channel_statistics(images)
    return train_carso(
        purifier, classifier, features_of(classifier, names), images, labels,
        mix=sizes.mix(std, nominal=nominal), epochs=sizes.epochs, batch_size=sizes.batch_size,
        lr=sizes.lr, autocast=autocast, seed=seed, checkpoint=checkpoint,
        checkpoint_steps=checkpoint_steps, ranks=ranks, is_silent=is_silent,
    )  # fmt: skip


def load_purifier(
    path: str | os.PathLike[str], classifier: nn.Module
) -> tuple[CARSOPurifier, tuple[str, ...]]:
    """Reads a purifier that ``sparsedef train carso`` wrote, for the classifier it was made for.

    Args:
        path: Of the file.
        classifier: The same weights as in the training: features of others mean nothing to it.

    Returns:
        The purifier, in evaluation mode, and the names of the layers that it reads.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Another kind of network, or made for another classifier.
    """
    saved = load_network(path)
    if not isinstance(saved.model, CARSOPurifier):
        raise ValueError(
            f"load_purifier: {os.fspath(path)!r} must hold a carso_purifier, got {saved.name!r}"
        )
    own = digest(classifier.state_dict().values())
    if saved.about["classifier"] != own:
        raise ValueError(
            f"load_purifier: {os.fspath(path)!r} was trained for classifier "
            f"{saved.about['classifier']} ({saved.about['training'].get('base')}), got {own}"
        )
    return saved.model.requires_grad_(False), tuple(saved.about["taps"])
