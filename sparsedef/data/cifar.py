"""CIFAR-10 and CIFAR-100 from their published files, in any of three forms."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sparsedef.data.base import Dataset
from sparsedef.data.cifar_files import CIFAR10, CIFAR100, SIDE, Files, Pixels, Published
from sparsedef.data.class_folders import check_root, class_pool, folders_in
from sparsedef.data.parts import Limits, Pool, build_dataset, check_size
from sparsedef.data.pictures import need_pillow, square, to_image


def load_cifar10(
    root: str | os.PathLike[str] | None = None,
    *,
    seed: int = 0,
    size: int = SIDE,
    n_train: int | None = None,
    n_validation: int | None = None,
    n_test: int | None = None,
) -> Dataset:
    """Loads CIFAR-10 from its published files; nothing is downloaded.

    Looked for in ``root``, in this order: the binary form (``cifar-10-batches-bin/``, read byte
    by byte), the python form (``cifar-10-batches-py/``, unpickled with only arrays allowed), or
    PNG files in ``train/CLASS/`` and ``test/CLASS/``. ``root`` may also be that first folder.
    The test part is the published one; a tenth of the published training part is validation.

    Args:
        root: The folder.
        seed: Of the validation part and of the order.
        size: Height and width; other than 32: resized, bicubic with antialiasing.
        n_train: Training images at most, of 45,000; every beginning of a part holds its classes
            in proportion. ``None`` for all.
        n_validation: The same for validation, of 5,000.
        n_test: The same for testing, of 10,000.

    Returns:
        ``Dataset`` with images ``[B, 3, size, size]`` float32 in [0, 1]; ids are the file and
        the row in it, or the path of the PNG.

    Raises:
        FileNotFoundError: None of the forms is there, or one is incomplete.
        ValueError: A file is cut off or is something else, or a limit is above what is there.
        ImportError: Pillow, which resizes and reads PNG, is needed and not installed.

    Source: Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """
    limits = Limits(n_train, n_validation, n_test)
    return _load("load_cifar10", "cifar10", CIFAR10, root, seed, size, limits)


def load_cifar100(
    root: str | os.PathLike[str] | None = None,
    *,
    seed: int = 0,
    size: int = SIDE,
    n_train: int | None = None,
    n_validation: int | None = None,
    n_test: int | None = None,
) -> Dataset:
    """Loads CIFAR-100 with its 100 fine labels; the rest is as in :func:`load_cifar10`.

    The folders are ``cifar-100-binary/`` or ``cifar-100-python/``, or ``train/`` and ``test/``.
    """
    limits = Limits(n_train, n_validation, n_test)
    return _load("load_cifar100", "cifar100", CIFAR100, root, seed, size, limits)


def _load(
    who: str,
    name: str,
    published: Published,
    root: str | os.PathLike[str] | None,
    seed: int,
    size: int,
    limits: Limits,
) -> Dataset:
    check_size(who, size)
    binary, python = published.binary, published.python
    wanted = (
        f"{published.title}: {binary.folder}/{binary.test}, {python.folder}/{python.test}, or "
        f"train/ and test/ with one folder of PNGs per class"
    )
    base = check_root(who, root, wanted)
    if files := Files.find(who, published, base):
        if size != SIDE:
            need_pillow(who)
        classes, form = files.classes(), files.form.folder
        pools = {
            "train": _file_pool(files, files.train, base, size),
            "test": _file_pool(files, files.test, base, size),
        }
    elif folders_in(base / "train") and folders_in(base / "test"):
        need_pillow(who)
        classes, form = _png_classes(who, published, base / "train"), "PNG files"
        labels = {folder: label for label, folder in enumerate(classes)}
        pools = {
            part: class_pool(who, base, base / part, labels, size) for part in ("train", "test")
        }
    else:
        raise FileNotFoundError(f"{who}: {base} must hold {wanted} (nothing is downloaded)")
    return build_dataset(
        who, name, pools, classes=classes, source=f"{published.title}, {form}", size=size,
        seed=seed, limits=limits,
    )  # fmt: skip


def _file_pool(files: Files, paths: list[Path], base: Path, size: int) -> Pool:
    """All images of some files, kept as bytes until they are chosen."""
    blocks: list[Pixels] = []
    labels: list[int] = []
    ids: list[str] = []
    for path in paths:
        block, found = files.read(path)
        blocks.append(block)
        labels += found
        ids += [f"{path.relative_to(base).as_posix()}:{row}" for row in range(len(found))]
    pixels = np.concatenate(blocks).reshape(-1, 3, SIDE, SIDE)

    def read(rows: Sequence[int]) -> Tensor:
        chosen = pixels[list(rows)]
        return torch.from_numpy(chosen).float() / 255 if size == SIDE else _resized(chosen, size)

    return Pool(torch.tensor(labels, dtype=torch.int64), tuple(ids), read)


def _resized(pixels: Pixels, size: int) -> Tensor:
    """Resizes ``[n, 3, 32, 32]`` to images ``[n, 3, size, size]`` in [0, 1]."""
    from PIL import Image

    images = torch.empty(len(pixels), 3, size, size)
    for row, image in enumerate(pixels):
        images[row] = to_image(square(Image.fromarray(image.transpose(1, 2, 0).copy()), size))
    return images


def _png_classes(who: str, published: Published, folder: Path) -> list[str]:
    """Names of the class folders; sorted, the published names are in their published order."""
    classes = folders_in(folder)
    if len(classes) != published.n_classes:
        raise ValueError(
            f"{who}: {folder} must hold {published.n_classes} folders, one per class, "
            f"holds {len(classes)}"
        )
    return classes
