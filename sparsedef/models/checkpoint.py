"""Trained networks on disk: weights, what builds the network, and how it was trained."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sparsedef.learning.checkpoint import write
from sparsedef.models.carso import CARSOPurifier
from sparsedef.models.comdefend import ComDefendCodec
from sparsedef.models.embedding_net import EmbeddingNet
from sparsedef.models.small_cnn import SmallCNN
from sparsedef.models.wide_resnet import wide_resnet
from sparsedef.version import __version__

Builder = Callable[..., nn.Module]

FORMAT = "sparsedef.network"
REVISION = 1  # of the file's meaning


def sized_wide_resnet(name: str, n_classes: int, size: int) -> nn.Module:
    """A wide residual network by its name; it takes images of any size."""
    return wide_resnet(name, n_classes)


# classifiers, and all networks that a file may hold
WIDE = ("wrn-10-1-silu", "wrn-10-2-silu", "wrn-16-4-silu", "wrn-28-10-silu", "wrn-28-10")
MODELS: Mapping[str, Builder] = {
    "small_cnn": SmallCNN,
    **{name: partial(sized_wide_resnet, name) for name in WIDE},
}
NETWORKS: Mapping[str, Builder] = {
    **MODELS,
    "comdefend": ComDefendCodec,
    "embedding_net": EmbeddingNet,
    "carso_purifier": CARSOPurifier,
}


@dataclass(frozen=True)
class SavedNetwork:
    """A network that was read from a file.

    Attributes:
        model: In evaluation mode.
        name: In ``NETWORKS``.
        settings: What the builder was called with.
        about: What the writer told of it: training settings, seed, figures.
        versions: Of what wrote it.
    """

    model: nn.Module
    name: str
    settings: dict[str, Any]
    about: dict[str, Any]
    versions: dict[str, str]


def save_network(
    path: str | os.PathLike[str],
    name: str,
    settings: Mapping[str, Any],
    model: nn.Module,
    *,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Writes a network to one file that needs nothing else to be read back.

    The file is a ``torch.save`` of plain values and tensors, whose entry ``"state_dict"`` has the
    weights. It is there whole or not at all.

    Args:
        path: Of the file, by custom ``*.pt``; replaced when it exists.
        name: In ``NETWORKS``.
        settings: The keywords that make the network: ``NETWORKS[name](**settings)``.
        model: Such a network.
        about: Plain values (numbers, words, lists, dicts) that a reader should know: how it was
            trained, on what, with which seed, and what it reaches.

    Raises:
        ValueError: An unknown name.
        TypeError: ``about`` or ``settings`` hold something else than plain values.

    Example:
        >>> import tempfile, torch
        >>> from sparsedef.models.checkpoint import load_network, save_network
        >>> settings = {"n_classes": 3, "size": 16, "width": 2}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = folder + "/tiny.pt"
        ...     save_network(path, "small_cnn", settings, SmallCNN(**settings), about={"seed": 0})
        ...     saved = load_network(path)
        >>> saved.model(torch.rand(2, 3, 16, 16)).shape, saved.about
        (torch.Size([2, 3]), {'seed': 0})
    """
    _find("save_network", name, NETWORKS)
    about = {} if about is None else about
    _check_plain("settings", settings)
    _check_plain("about", about)
    content = {
        "format": FORMAT,
        "revision": REVISION,
        "name": name,
        "settings": dict(settings),
        "about": dict(about),
        "versions": {"sparsedef": __version__, "torch": str(torch.__version__)},
        "state_dict": {key: t.detach().cpu() for key, t in model.state_dict().items()},
    }
    write(path, content)


def load_network(
    path: str | os.PathLike[str], *, device: torch.device | str = "cpu"
) -> SavedNetwork:
    """Makes the network that ``save_network`` wrote. Nothing in the file is executed.

    Args:
        path: Of the file.
        device: Where it is to live.

    Returns:
        ``SavedNetwork``: the network, in evaluation mode, and what is told about it.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a file of such a network, or one of a newer sparsedef.
    """
    file = os.fspath(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f"load_network: path must be a file, got {file!r}")
    foreign = f"load_network: {file!r} is not a network that sparsedef wrote (save_network)"
    if not zipfile.is_zipfile(path):
        raise ValueError(foreign)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise ValueError(foreign) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(foreign)
    if content["revision"] > REVISION:
        raise ValueError(
            f"load_network: {file!r} was written by sparsedef {content['versions']['sparsedef']},"
            f" this is {__version__}, which does not know its format (pip install -U sparsedef)"
        )
    name, settings = content["name"], content["settings"]
    build = _find("load_network", name, NETWORKS)
    with torch.random.fork_rng(devices=[]):  # a start that the weights overwrite
        model = build(**settings)
    model.load_state_dict(content["state_dict"])
    model.to(device).eval()
    return SavedNetwork(model, name, settings, content["about"], content["versions"])


def save_classifier(
    path: str | os.PathLike[str],
    model_name: str,
    settings: Mapping[str, Any],
    model: nn.Module,
    *,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Writes a classifier, one of ``MODELS``, as ``save_network`` does."""
    _find("save_classifier", model_name, MODELS)
    save_network(path, model_name, settings, model, about=about)


def load_classifier(
    path: str | os.PathLike[str], *, device: torch.device | str = "cpu"
) -> SavedNetwork:
    """Makes the classifier that ``save_classifier`` or ``sparsedef train`` wrote.

    As ``load_network``, and a ``ValueError`` if the file holds another kind of network.
    """
    saved = load_network(path, device=device)
    if saved.name not in MODELS:
        raise ValueError(
            f"load_classifier: {os.fspath(path)!r} must hold one of {list(MODELS)}, got"
            f" {saved.name!r}"
        )
    return saved


def _find(who: str, name: str, table: Mapping[str, Builder]) -> Builder:
    if name not in table:
        raise ValueError(f"{who}: name must be one of {list(table)}, got {name!r}")
    return table[name]


def _check_plain(name: str, value: object) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check_plain(f"{name}[{key!r}]", inner)
    elif isinstance(value, (list, tuple)):
        for i, inner in enumerate(value):
            _check_plain(f"{name}[{i}]", inner)
    elif value is not None and not isinstance(value, (bool, int, float, str)):
        raise TypeError(f"save_network: {name} must be a plain value, got {type(value).__name__}")
