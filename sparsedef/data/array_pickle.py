"""Pickles of numpy arrays from strangers, read without letting them run anything."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]


def load_array_pickle(who: str, path: Path) -> dict[str, Any]:
    """Reads a pickled dictionary of numpy arrays, lists, numbers and strings; nothing else.

    A pickle may name any function for its reader to call. Here the only ones that it gets are
    numpy's array and dtype and the decoding of latin-1 text, which is how Python 2 wrote arrays.

    Args:
        who: The caller, for messages.
        path: Of the file.

    Returns:
        The dictionary, its keys as ``str``.

    Raises:
        ValueError: The file asks for anything more, is cut off, or is no dictionary.
    """
    with path.open("rb") as file:
        try:
            content = _ArrayUnpickler(file, encoding="bytes").load()
        except _RefusedError as refusal:
            raise ValueError(
                f"{who}: {path} asks to call {refusal}, which no array needs; it was not called"
            ) from refusal
        except Exception as error:  # a broken pickle raises nearly anything
            raise ValueError(f"{who}: {path} is not a whole pickle of arrays: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{who}: {path} must hold a dictionary, got {type(content).__name__}")
    return {k.decode() if isinstance(k, bytes) else str(k): v for k, v in content.items()}


class _RefusedError(Exception):
    """The pickle asked for something that is not on the list."""


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise _RefusedError(f"_codecs.encode with {encoding!r}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("_codecs", "encode"): _latin1,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        """Gives what the list allows and refuses the rest."""
        if (module_name, global_name) not in _ALLOWED:
            raise _RefusedError(f"{module_name}.{global_name}")
        return _ALLOWED[module_name, global_name]
