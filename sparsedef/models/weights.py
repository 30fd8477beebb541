"""Files of weights: read without running anything, put into a network or refused in one line."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def read_weights(who: str, path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Reads a state dict from a ``.safetensors`` file, or from a file of ``torch.save``.

    Args:
        who: The caller, for messages.
        path: Of the file. A dictionary with the entry ``state_dict`` or ``model_state_dict`` gives
            that entry. The prefix ``module.`` that data-parallel training adds is taken off.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It holds something else than named tensors.
        ImportError: A ``.safetensors`` file, and the package is not installed.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{who}: weights must be a file, got {os.fspath(path)!r}")
    found: Any = _read_safetensors(who, file) if file.suffix == ".safetensors" else _load(who, file)
    if isinstance(found, dict):
        for key in ("state_dict", "model_state_dict"):
            found = found[key] if isinstance(found.get(key), dict) else found
    is_state = isinstance(found, dict) and all(isinstance(v, Tensor) for v in found.values())
    if not is_state or not found:
        raise ValueError(
            f"{who}: {file} must hold a state dict, tensors by their names "
            f"(torch.save(model.state_dict(), path))"
        )
    state = {str(name): tensor for name, tensor in found.items()}
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return state


def put_weights(
    who: str, network: nn.Module, state: dict[str, Tensor], path: str | os.PathLike[str]
) -> None:
    """Loads a state dict into a network, every tensor of both.

    Raises:
        ValueError: A name or a shape does not fit; says the first of each kind.
    """
    own = network.state_dict()
    missing = [name for name in own if name not in state]
    # counters that torch added to batch normalisation later and that evaluation does not use
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    unknown = [name for name in state if name not in own]
    shapes = [
        f"{name} is {list(state[name].shape)} there and {list(own[name].shape)} here"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    wrong = [
        f"{title} {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        for title, names in (("no", missing), ("unknown:", unknown), ("shape:", shapes))
        if names
    ]
    if wrong:
        raise ValueError(
            f"{who}: the weights in {os.fspath(path)} do not fit the network: {'; '.join(wrong)}"
        )
    network.load_state_dict(state, strict=False)


def _load(who: str, file: Path) -> object:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{who}: {file} cannot be read as weights alone: {first} "
            f"(torch.save(model.state_dict(), path) writes such a file)"
        ) from error


def _read_safetensors(who: str, file: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise ImportError(
            f"{who}: {file} needs the package safetensors, which is not installed "
            f"(pip install 'sparsedef[safetensors]')"
        ) from error
    try:
        found: dict[str, Tensor] = load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{who}: {file} is not a safetensors file: {error}") from error
    return found
