"""Layers in safetensors files: the tensors, and in the metadata what they are the tensors of."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

from sparsedef.nn.dictionary import DictionaryLayer
from sparsedef.nn.omp import OMP
from sparsedef.nn.patch_omp import PatchOMP
from sparsedef.nn.sparse_code import SparseCode
from sparsedef.nn.sparse_denoise import SparseDenoise
from sparsedef.version import __version__
from sparsedef.whole_file import whole_file

LAYERS: dict[str, type[DictionaryLayer]] = {
    "SparseCode": SparseCode,
    "OMP": OMP,
    "PatchOMP": PatchOMP,
    "SparseDenoise": SparseDenoise,
}

FORMAT = "sparsedef.nn"
REVISION = 1  # of the metadata's meaning


def save_safetensors(layer: DictionaryLayer, path: str | os.PathLike[str]) -> None:
    """Writes a layer to one file that needs nothing else to be read back.

    The tensors are those of ``layer.state_dict()``, bit for bit, on any device. The metadata (all
    strings) say ``format`` ("sparsedef.nn"), ``revision``, ``kind`` (the class), ``settings`` (a
    JSON object of the constructor's keywords), and ``version`` (the sparsedef that wrote it). The
    file is written under another name and then renamed, so a crash leaves the old one whole.

    Args:
        layer: One of the layers of ``sparsedef.nn``. Of a network that holds some, save the
            ``state_dict()`` as you would without them.
        path: Of the file, by custom ``*.safetensors``; replaced when it exists.

    Raises:
        TypeError: Not one of the layers.
        ImportError: The package safetensors is not installed.

    Example:
        >>> import sparsedef.nn, tempfile, torch
        >>> layer = sparsedef.nn.OMP((32, 8), n_nonzero=3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sparsedef.nn.save_safetensors(layer, folder + "/omp.safetensors")
        ...     again = sparsedef.nn.load_safetensors(folder + "/omp.safetensors")
        >>> again, torch.equal(again.weight, layer.weight)
        (OMP(n_atoms=32, n_features=8, n_nonzero=3, tol=0.0, selection='omp', nonnegative=False, \
learn_dictionary=True, backend='auto'), True)
    """
    kind = type(layer).__name__
    if LAYERS.get(kind) is not type(layer):
        raise TypeError(
            f"save_safetensors: layer must be one of {list(LAYERS)}, got {kind}"
            " (safetensors.torch.save_model saves any module's tensors)"
        )
    _need_safetensors("save_safetensors")
    from safetensors.torch import save_file

    metadata = {
        "format": FORMAT,
        "revision": str(REVISION),
        "kind": kind,
        "settings": json.dumps(layer.settings(), sort_keys=True),
        "version": __version__,
    }
    tensors = {name: t.detach().contiguous() for name, t in layer.state_dict().items()}
    with whole_file(path) as draft:
        save_file(tensors, draft, metadata)


def load_safetensors(
    path: str | os.PathLike[str], *, device: torch.device | str = "cpu"
) -> DictionaryLayer:
    """Makes the layer that :func:`save_safetensors` wrote, with its settings and dtype.

    Nothing in the file is executed.

    Args:
        path: Of the file.
        device: Where the layer is to live.

    Returns:
        A layer of the class that was saved, in training mode as new modules are.

    Raises:
        ValueError: Not a file of such a layer, or one of a newer sparsedef.
        FileNotFoundError: No such file.
        ImportError: The package safetensors is not installed.

    Example: see :func:`save_safetensors`.
    """
    _need_safetensors("load_safetensors")
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"load_safetensors: path must be a file, got {os.fspath(path)!r}")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"load_safetensors: {os.fspath(path)!r} is not a safetensors file: {error}"
        ) from error
    kind, settings = _read(metadata, os.fspath(path))
    if tensors.keys() - {"weight", "log_alpha"} or "weight" not in tensors:
        raise ValueError(
            f"load_safetensors: {os.fspath(path)!r} must hold weight and maybe log_alpha,"
            f" got {sorted(tensors)}"
        )
    if "log_alpha" in tensors:
        settings["alpha"] = 1.0  # any: the saved tensor takes its place
    layer = LAYERS[kind](tensors["weight"], **settings)
    layer.load_state_dict(tensors)
    return layer


def _read(metadata: dict[str, str], path: str) -> tuple[str, dict[str, Any]]:
    """The kind and the settings that the metadata name."""
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"load_safetensors: {path!r} must be a layer of sparsedef.nn (metadata format"
            f" {FORMAT!r}), got {metadata.get('format')!r}"
            " (safetensors.torch.load_file reads plain tensors)"
        )
    if int(metadata["revision"]) > REVISION:
        raise ValueError(
            f"load_safetensors: {path!r} was written by sparsedef {metadata['version']}, this is"
            f" {__version__}, which does not know its format (pip install -U sparsedef)"
        )
    if metadata["kind"] not in LAYERS:
        raise ValueError(
            f"load_safetensors: {path!r} must hold one of {list(LAYERS)}, got {metadata['kind']!r}"
        )
    return metadata["kind"], json.loads(metadata["settings"])


def _need_safetensors(who: str) -> None:
    """Raises with the way out when the package is absent."""
    try:
        import safetensors.torch  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{who}: the package safetensors is not installed"
            " (pip install 'sparsedef[safetensors]')"
        ) from error
