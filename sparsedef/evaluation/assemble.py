"""From names to a task: data, a classifier trained or loaded, defenses fitted to it."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn

import sparsedef
from sparsedef.data import Dataset, Split
from sparsedef.defenses import DEFENSES, Identity
from sparsedef.defenses.semantic import EmbeddingClassifier
from sparsedef.evaluation.cache import Cache, source_digest
from sparsedef.evaluation.contenders import NONE, Contender, fingerprint
from sparsedef.models import load_model
from sparsedef.models.from_file import module_from_file
from sparsedef.models.seeded import seeded
from sparsedef.training import train_classifier

EPOCHS = 12  # of a small network on a data set that comes with the package
PACKAGES = ("numpy", "scikit-learn", "open-clip-torch", "pyautoattack", "torchvision")


def versions() -> dict[str, str]:
    """Versions of what results depend on, the library's own sources included."""
    backend = sparsedef.omp(torch.ones(1, 4), torch.eye(4), 1).backend
    found = {
        "sparsedef": sparsedef.__version__,
        "sources": source_digest(Path(sparsedef.__file__).parent),
        "omp backend": backend,
        "torch": torch.__version__,
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return {**found, "python": platform.python_version(), "machine": machine}


def trained(
    cache: Cache,
    name: str,
    dataset: Dataset,
    *,
    seed: int,
    objective: str = "standard",
    eps: float = 8 / 255,
    epochs: int = EPOCHS,
    model: str = "small_cnn",
    train: Split | None = None,
    start: nn.Module | None = None,
    say: Callable[[str], object] = lambda title: None,
) -> nn.Module:
    """Trains a classifier on a data set's training images, or takes it from ``cache``.

    Args:
        cache: Where its weights are kept.
        name: Of the classifier, for ``say``.
        dataset: Its training part is learnt, unless ``train`` is given.
        seed: Of weights and order.
        objective: One of ``sparsedef.training.OBJECTIVES``.
        eps: Radius of adversarial objectives, in [0, 1] pixel units.
        epochs: Passes over the images.
        model: Network, by its name for ``load_model``.
        train: What to learn instead, such as the same images purified.
        start: Begin at this network's weights, not at random ones: adversarial training of a
            small network from nothing can end at one answer for all.
        say: Told in a few words what is being done now.

    Returns:
        The classifier, in evaluation mode and without gradients for its weights.
    """
    split = train or dataset.train
    size = split.images.shape[-1]

    def build() -> nn.Module:
        with seeded(seed):
            network = load_model(model, n_classes=len(dataset.classes), size=size)
        if start is not None:
            network.load_state_dict(start.state_dict())
        return network

    def learn() -> dict[str, Any]:
        say(f"{dataset.name}: training {name}")
        network = build()
        train_classifier(
            network, split.images, split.labels, objective=objective, eps=eps, epochs=epochs,
            seed=seed, is_silent=True,
        )  # fmt: skip
        return dict(network.state_dict())

    settings = {
        "images": fingerprint(split.images, split.labels), "classes": len(dataset.classes),
        "seed": seed, "objective": objective, "eps": eps, "epochs": epochs, "model": model,
        "start": None if start is None else fingerprint(start),
    }  # fmt: skip
    network = build()
    network.load_state_dict(cache.get("classifier", settings, learn))
    return network.eval().requires_grad_(False)


def defend(
    classifier: nn.Module,
    names: Sequence[str],
    train: Split,
    *,
    seed: int,
    bare: str = NONE,
    say: Callable[[str], object] = lambda title: None,
) -> dict[str, Contender]:
    """Fits defenses to a classifier, by their names.

    Args:
        classifier: What to defend.
        names: Of ``DEFENSES``, or ``file.py:function``, a function of the classifier, clean
            training images and labels that gives a defense, or any module.
        train: Clean training images.
        seed: Of everything random in fitting.
        bare: Name of the contender that is this classifier alone.
        say: Told in a few words what is being done now.

    Raises:
        ValueError: A name is unknown, a file has no such function, or the function failed.
        FileNotFoundError: There is no such file.
        TypeError: The function gave something else than a module.
    """
    found = {}
    for name in names:
        say(f"fitting {name}")
        if name in DEFENSES:
            model: nn.Module = DEFENSES[name].fit(classifier, train.images, train.labels, seed=seed)
            title = name
        else:
            model, title = _from_file(name, classifier, train)
        # an encoder of its own: nothing can be taken off to get at the classifier
        is_apart = isinstance(model, EmbeddingClassifier) and model.encoder is not classifier
        found[title] = Contender(model.eval(), None if is_apart else bare)
    return found


def bare(classifier: nn.Module) -> Contender:
    """The classifier without a defense."""
    return Contender(Identity(classifier).eval(), None)


@torch.no_grad()
def only_right(classifier: nn.Module, split: Split, batch_size: int = 256) -> Split:
    """Keeps the images that a classifier has right, as some papers attack only those."""
    guesses = [classifier(some).argmax(1) for some in split.images.split(batch_size)]
    return split.where(torch.cat(guesses) == split.labels)


def _from_file(spec: str, classifier: nn.Module, train: Split) -> tuple[nn.Module, str]:
    path, _, name = spec.rpartition(":")
    if not path.endswith(".py"):
        raise ValueError(
            f"defense must be one of {sorted(DEFENSES)} or file.py:function, got {spec!r}"
        )
    model = module_from_file(
        f"defense {spec}", path, name, lambda make: make(classifier, train.images, train.labels)
    )
    return model, name
