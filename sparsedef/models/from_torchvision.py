"""Networks of torchvision with weights that are on this machine already."""

from __future__ import annotations

import difflib
import importlib
import os
import re
from pathlib import Path
from typing import Any

import torch

from sparsedef.models.normalised import Normalised
from sparsedef.models.weights import put_weights, read_weights

WITH_HELPERS = ("googlenet", "inception_v3")  # further outputs, for training alone
FIXED_SIZE = {"vit_": "image_size", "maxvit_": "input_size"}  # and what their builders call it


def from_torchvision(
    name: str, *, n_classes: int, size: int, weights: str | os.PathLike[str] | None = None
) -> Normalised:
    """Makes a classifier of torchvision, for images in [0, 1], with weights from a file.

    Images are normalised with ImageNet's mean and standard deviation; Inception and GoogLeNet
    then bring them to [-1, 1] themselves, as their published weights need.

    Args:
        name: Of the network, as torchvision has it: ``"resnet18"``, ``"inception_v3"``.
        n_classes: Number of classes, which the weights must have.
        size: Height and width of the images; fixed for vision transformers.
        weights: A state dict. ``None``: the file of torchvision's default weights in torch hub's
            cache, if it is there. Nothing is downloaded.

    Raises:
        ImportError: torchvision is not installed, or is built for another torch.
        ValueError: It has no such network, or the weights do not fit.
        FileNotFoundError: No weights; says which file is looked for and where.
    """
    who = f"load_model: torchvision:{name}"
    torchvision = _import_torchvision(who)
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        close = ", ".join(difflib.get_close_matches(name, known, n=3))
        hint = f" ({close}?)" if close else ""
        raise ValueError(f"{who}: torchvision {torchvision.__version__} has no such network{hint}")
    default = torchvision.models.get_model_weights(name).DEFAULT
    path = Path(weights) if weights is not None else _cached(who, default.url)
    state = read_weights(who, path)
    builder = torchvision.models.get_model_builder(name)
    options: dict[str, Any] = {"num_classes": n_classes}
    if name in WITH_HELPERS:
        has_helpers = any(key.startswith(("AuxLogits.", "aux1.")) for key in state)
        options |= {"aux_logits": has_helpers, "transform_input": True, "init_weights": False}
    for start, option in FIXED_SIZE.items():
        if name.startswith(start):
            options[option] = size if option == "image_size" else (size, size)
    if name.startswith("densenet"):  # published before torch forbade dots in names
        state = {re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", key): state[key] for key in state}
    with torch.random.fork_rng(devices=[]):  # a start that the weights overwrite
        network = builder(weights=None, **options)
    put_weights(who, network, state, path)
    return Normalised(network)


def _import_torchvision(who: str) -> Any:
    """The package, or one line that says why not."""
    try:
        return importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{who}: torchvision is not installed (pip install torchvision)"
        ) from error
    except (ImportError, OSError, RuntimeError) as error:  # its operators need torch's own build
        first = str(error).splitlines()[0]
        raise ImportError(
            f"{who}: torchvision cannot be imported: {first} (built for another torch than "
            f"{torch.__version__}? take both from one place)"
        ) from error


def _cached(who: str, url: str) -> Path:
    """Where torch hub keeps the weights that it would get from ``url``, if they are there."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / Path(url).name
    if not path.is_file():
        raise FileNotFoundError(
            f"{who}: no weights: {path.name} is not in {folder}, and nothing is downloaded "
            f"(put it there, or pass weights=FILE, a state dict)"
        )
    return path
