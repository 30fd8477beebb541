"""Pictures sorted into one folder per class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from sparsedef.data.parts import Pool
from sparsedef.data.pictures import is_picture, read_pictures


def check_root(who: str, root: str | os.PathLike[str] | None, wanted: str) -> Path:
    """Returns ``root`` as a path, or raises in one line that says what should lie there."""
    if root is None:
        raise ValueError(f"{who}: root must be the folder with {wanted} (nothing is downloaded)")
    path = Path(root)
    if not path.is_dir():
        raise FileNotFoundError(
            f"{who}: root must be the folder with {wanted}, but there is no folder "
            f"{os.fspath(root)!r} (nothing is downloaded)"
        )
    return path


def folders_in(folder: Path) -> list[str]:
    """Names of the folders in ``folder`` that are not hidden, sorted; none if it is not there."""
    if not folder.is_dir():
        return []
    return sorted(e.name for e in os.scandir(folder) if e.is_dir() and not e.name.startswith("."))


def pictures_in(folder: Path) -> list[Path]:
    """Picture files right in ``folder``, sorted by name."""
    return sorted(path for path in folder.iterdir() if is_picture(path))


def class_pool(
    who: str,
    root: Path,
    folder: Path,
    labels: dict[str, int],
    size: int,
    *,
    short_side: int | None = None,
    exact: bool = False,
) -> Pool:
    """Makes a pool of all pictures under ``folder``, whose folders are named after classes.

    Args:
        who: The caller, for messages.
        root: Ids are paths from here.
        folder: Holds one folder per class.
        labels: Label of each folder's name.
        size: See :func:`sparsedef.data.pictures.read_pictures`, as the rest.
        short_side: The same.
        exact: The same.

    Raises:
        ValueError: A folder is no class of ``labels``, or holds no picture.
    """
    paths: list[Path] = []
    found: list[int] = []
    for name in folders_in(folder):
        if name not in labels:
            raise ValueError(
                f"{who}: {folder / name} is none of the {len(labels)} classes ({_few(labels)})"
            )
        files = pictures_in(folder / name)
        if not files:
            raise ValueError(f"{who}: {folder / name} must hold pictures (.png, .jpg), has none")
        paths += files
        found += [labels[name]] * len(files)
    return picture_pool(who, root, paths, found, size, short_side=short_side, exact=exact)


def picture_pool(
    who: str,
    root: Path,
    paths: Sequence[Path],
    labels: Sequence[int],
    size: int,
    *,
    short_side: int | None = None,
    exact: bool = False,
) -> Pool:
    """Makes a pool of picture files with their labels; ids are the paths from ``root``."""

    def read(rows: Sequence[int]) -> torch.Tensor:
        chosen = [paths[row] for row in rows]
        return read_pictures(who, chosen, size, short_side=short_side, exact=exact)

    ids = tuple(path.relative_to(root).as_posix() for path in paths)
    return Pool(torch.tensor(labels, dtype=torch.int64), ids, read)


def _few(names: dict[str, int]) -> str:
    """The first names, for a message."""
    first = list(names)[:4]
    return ", ".join(first) + (", ..." if len(names) > len(first) else "")
