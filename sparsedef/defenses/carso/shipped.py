"""The two small CARSOs that come with the library: digits and ShapeWorld, 32 x 32."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from sparsedef.defenses.carso.carso import CARSO
from sparsedef.defenses.carso.fitting import PRESETS, Sizes, load_purifier
from sparsedef.models.checkpoint import SavedNetwork, load_classifier, load_network, save_network
from sparsedef.solvers.checks import check_choice
from sparsedef.training.state import digest

# how each purifier was trained: its file says the same
SHIPPED: Mapping[str, Sizes] = {
    "digits": PRESETS["small"],
    "shapeworld": replace(PRESETS["small"], condition=256, fraction=0.2, attack_steps=2),
}
FOLDER = Path(__file__).parent / "weights"


def shipped_files(dataset: str) -> tuple[Path, Path]:
    """Files of the shipped base and of its purifier, for ``load_model`` and ``load_purifier``.

    Raises:
        ValueError: There is none for this data set.
    """
    check_choice("shipped_files", "dataset", dataset, tuple(SHIPPED))
    return FOLDER / f"{dataset}-base.pt", FOLDER / f"{dataset}-purifier.pt"


def load_shipped_carso(dataset: str = "digits", **options: Any) -> CARSO:
    """Loads a small CARSO that was trained before; nothing is downloaded.

    A wide residual network (``wrn-10-1-silu``), adversarially trained with ``eps = 8/255``, and
    its purifier, near the preset ``"small"``. The files say how, with seeds and figures
    (``models.checkpoint.load_network``).

    Args:
        dataset: ``"digits"`` (10 classes) or ``"shapeworld"`` (24 classes), images of 32 x 32.
        options: Of ``CARSO``.

    Raises:
        ValueError: There is none for this data set.

    Example:
        >>> import torch
        >>> from sparsedef.data import load_digits
        >>> test = load_digits().test.take(20)
        >>> with torch.random.fork_rng(), torch.no_grad():
        ...     logits = load_shipped_carso()(test.images)
        >>> bool((logits.argmax(1) == test.labels).double().mean() > 0.7)
        True
    """
    base, purifier = shipped_files(dataset)
    classifier = load_classifier(base).model.requires_grad_(False)
    network, taps = load_purifier(purifier, classifier)
    return CARSO(classifier, network, taps=taps, **options)


def write_shipped(
    base: str | os.PathLike[str], purifier: str | os.PathLike[str], folder: Path = FOLDER
) -> tuple[Path, Path]:
    """Writes what ``sparsedef train`` made in half precision, as it is shipped.

    Args:
        base: File of the classifier.
        purifier: File of its purifier; which data set it is for is read there.
        folder: Where to; made if it is not there.
    """
    classifier, network = load_network(base), load_network(purifier)
    load_purifier(purifier, classifier.model)  # raises unless the two belong together
    dataset = network.about["training"]["dataset"]
    folder.mkdir(exist_ok=True)
    files = folder / f"{dataset}-base.pt", folder / f"{dataset}-purifier.pt"
    _write(files[0], classifier, classifier.about)
    rounded = load_network(files[0]).model  # the purifier is for these weights from here on
    about = network.about | {"classifier": digest(rounded.state_dict().values())}
    _write(files[1], network, about)
    return files


def _write(path: Path, saved: SavedNetwork, about: dict[str, Any]) -> None:
    half: nn.Module = saved.model.half()
    save_network(path, saved.name, saved.settings, half, about=about)
