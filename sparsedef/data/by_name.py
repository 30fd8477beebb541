"""Every data set by its name, asked in one way."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sparsedef.data.base import Dataset, Loader, Split
from sparsedef.data.cifar import load_cifar10, load_cifar100
from sparsedef.data.digits import load_digits
from sparsedef.data.folder import load_folder
from sparsedef.data.imagenet import load_imagenet
from sparsedef.data.imagenette import load_imagenette, load_imagewoof
from sparsedef.data.parts import stratified
from sparsedef.data.photographs import load_photographs
from sparsedef.data.shapeworld import load_shapeworld

DATASETS: Mapping[str, Loader] = {
    "digits": load_digits,
    "photographs": load_photographs,
    "shapeworld": load_shapeworld,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "imagenet": load_imagenet,
    "imagenette": load_imagenette,
    "imagewoof": load_imagewoof,
    "folder": load_folder,
}


def needs_root(name: str) -> bool:
    """Whether a data set lies in a folder of yours; if not, it comes with the packages."""
    return "root" in inspect.signature(DATASETS[name]).parameters


BUILT_IN = tuple(name for name in DATASETS if not needs_root(name))


def load_dataset(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    seed: int = 0,
    size: int | None = None,
    n_train: int | None = None,
    n_validation: int | None = None,
    n_test: int | None = None,
) -> Dataset:
    """Loads any data set by its name; nothing is ever downloaded.

    Args:
        name: One of ``DATASETS``.
        root: Folder with the files; only for data sets that do not come with the packages, and
            needed for those.
        seed: Of the division into parts and of their order.
        size: Height and width of the images; ``None`` for the default of the data set.
        n_train: Training images at most, classes in proportion; ``None`` for all there
            are, but no more than 1,000 of ImageNet.
        n_validation: The same for validation.
        n_test: The same for testing.

    Returns:
        ``Dataset``: images ``[B, 3, size, size]`` float32 in [0, 1], labels, ids.

    Raises:
        ValueError: An unknown name, ``root`` missing or not taken, or a limit above what is there.
        FileNotFoundError: The files are not under ``root``; says which were looked for.
        ImportError: Pillow or scikit-learn is needed and not installed.

    Example:
        >>> digits = load_dataset("digits", n_train=100, n_test=50)
        >>> len(digits.train), len(digits.validation), len(digits.test)
        (100, 200, 50)
    """
    if name not in DATASETS:
        close = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f" ({close[0]}?)" if close else ""
        raise ValueError(f"load_dataset: name must be one of {list(DATASETS)}, got {name!r}{hint}")
    taken = inspect.signature(DATASETS[name]).parameters
    if root is not None and "root" not in taken:
        raise ValueError(
            f"load_dataset: {name} comes with the installed packages and takes no root, got "
            f"{os.fspath(root)!r} (for pictures of your own take the name 'folder')"
        )
    limits = {"n_train": n_train, "n_validation": n_validation, "n_test": n_test}
    asked: dict[str, Any] = {"root": root, "size": size, **limits}
    options = {key: value for key, value in asked.items() if value is not None and key in taken}
    dataset = DATASETS[name](seed=seed, **options)
    for key, limit in limits.items():
        if limit is not None and key not in taken:
            part = key.removeprefix("n_")
            cut = _cut(name, part, getattr(dataset, part), limit, seed)
            dataset = replace(dataset, **{part: cut})  # type: ignore[arg-type]
    return dataset


def _cut(name: str, part: str, split: Split, limit: int, seed: int) -> Split:
    """Keeps ``limit`` images of a part, classes in proportion."""
    if not 0 <= limit <= len(split):
        raise ValueError(
            f"load_dataset: n_{part} must be from 0 to {len(split)}, the images {name} has for it, "
            f"got {limit}"
        )
    rows = stratified(split.labels, seed)[:limit]
    return Split(split.images[rows], split.labels[rows], tuple(split.ids[row] for row in rows))
