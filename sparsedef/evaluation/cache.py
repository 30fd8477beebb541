"""Results of expensive stages on disk, so that a stopped run continues where it was."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from sparsedef.whole_file import whole_file


def digest(settings: Mapping[str, Any]) -> str:
    """Hashes plain settings (numbers, strings, lists, mappings) to 16 hexadecimal digits."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def source_digest(folder: Path) -> str:
    """Hashes the code under ``folder``, Python and built, so that changed code reuses nothing."""
    hashed = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".so", ".pyd")):
        hashed.update(str(path.relative_to(folder)).encode())
        hashed.update(path.read_bytes())
    return hashed.hexdigest()[:16]


class Cache:
    """A folder with one file per result, named by its kind and a hash of its settings.

    Args:
        folder: Where the files are; made at the first write.
        versions: What all results depend on besides their settings.
    """

    def __init__(self, folder: Path, versions: Mapping[str, Any]) -> None:
        """Checks and keeps the settings; see the class."""
        self.folder = folder
        self.versions = dict(versions)

    def path(self, kind: str, settings: Mapping[str, Any]) -> Path:
        """Where the result of ``kind`` with these ``settings`` is, or would be."""
        key = digest({"settings": dict(settings), "versions": self.versions})
        return self.folder / f"{kind}-{key}.pt"

    def get(
        self,
        kind: str,
        settings: Mapping[str, Any],
        compute: Callable[[], dict[str, Any]],
    ) -> dict[str, Any]:
        """Returns the stored result, or computes and stores it.

        Args:
            kind: What it is, for the file's name.
            settings: All that it depends on besides the versions; plain values.
            compute: Gives a dict of tensors, numbers, strings, lists and dicts.

        A file that cannot be read is computed again, with a warning.
        """
        path = self.path(kind, settings)
        if path.exists():
            try:
                stored: dict[str, Any] = torch.load(path, weights_only=True)
                return stored
            except Exception as error:
                warnings.warn(
                    f"{path} cannot be read ({type(error).__name__}); it is computed again",
                    stacklevel=2,
                )
        result = compute()
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as draft:
            torch.save(result, draft)
        return result
