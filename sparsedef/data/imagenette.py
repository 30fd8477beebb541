"""Imagenette and Imagewoof: ten classes of ImageNet each, easy and hard to tell apart."""

from __future__ import annotations

import os
from pathlib import Path

from sparsedef.data.base import Dataset
from sparsedef.data.class_folders import check_root, class_pool, folders_in
from sparsedef.data.parts import Limits, build_dataset, check_size
from sparsedef.data.pictures import need_pillow

IMAGENETTE = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
IMAGEWOOF = {
    "n02086240": "Shih-Tzu",
    "n02087394": "Rhodesian ridgeback",
    "n02088364": "beagle",
    "n02089973": "English foxhound",
    "n02093754": "Border terrier",
    "n02096294": "Australian terrier",
    "n02099601": "golden retriever",
    "n02105641": "Old English sheepdog",
    "n02111889": "Samoyed",
    "n02115641": "dingo",
}


def load_imagenette(
    root: str | os.PathLike[str] | None = None,
    *,
    seed: int = 0,
    size: int = 160,
    n_train: int | None = None,
    n_validation: int | None = None,
    n_test: int | None = None,
) -> Dataset:
    """Loads Imagenette, ten classes of ImageNet that are easy to tell apart.

    Looked for in ``root``: ``train/SYNSET/*.JPEG`` and ``val/SYNSET/*.JPEG``, or the one folder
    ``imagenette*`` that has them. Testing draws from ``val/``; a tenth of ``train/`` is set apart
    for validation. Labels are 0 to 9 in the order of the synsets.

    Args:
        root: The folder; nothing is downloaded.
        seed: Of the validation part and of the order.
        size: Height and width: the short side is resized to it (bicubic, antialiased), the middle
            kept.
        n_train: Training images at most; every beginning of a part holds its classes in
            proportion. ``None`` for all.
        n_validation: The same for validation.
        n_test: The same for testing.

    Returns:
        ``Dataset`` with images ``[B, 3, size, size]`` float32 in [0, 1]; ids are paths from
        ``root``.

    Raises:
        FileNotFoundError: The folders are not there, or a class is missing.
        ValueError: Several such folders, another class, or a limit above what is there.
        ImportError: Pillow is not installed.

    Source: github.com/fastai/imagenette (Howard, 2019).
    """
    limits = Limits(n_train, n_validation, n_test)
    return _load("load_imagenette", "imagenette", IMAGENETTE, root, seed, size, limits)


def load_imagewoof(
    root: str | os.PathLike[str] | None = None,
    *,
    seed: int = 0,
    size: int = 160,
    n_train: int | None = None,
    n_validation: int | None = None,
    n_test: int | None = None,
) -> Dataset:
    """Loads Imagewoof, ten breeds of dogs in ImageNet; see :func:`load_imagenette` for the rest.

    The folder is ``imagewoof*``.
    """
    limits = Limits(n_train, n_validation, n_test)
    return _load("load_imagewoof", "imagewoof", IMAGEWOOF, root, seed, size, limits)


def _load(
    who: str,
    name: str,
    classes: dict[str, str],
    root: str | os.PathLike[str] | None,
    seed: int,
    size: int,
    limits: Limits,
) -> Dataset:
    check_size(who, size)
    wanted = f"{name}: train/SYNSET/*.JPEG and val/SYNSET/*.JPEG"
    top = check_root(who, root, wanted)
    need_pillow(who)
    base = _base(who, name, top, wanted)
    for part in ("train", "val"):
        missing = classes.keys() - set(folders_in(base / part))
        if missing:
            raise FileNotFoundError(
                f"{who}: {base / part} must have all ten classes, has no {min(missing)} "
                f"(unpack the archive anew)"
            )
    labels = {synset: label for label, synset in enumerate(classes)}
    pools = {
        "train": class_pool(who, top, base / "train", labels, size),
        "test": class_pool(who, top, base / "val", labels, size),
    }
    return build_dataset(
        who, name, pools, classes=tuple(classes.values()),
        source=f"{name.capitalize()} in {base}", size=size, seed=seed, limits=limits,
    )  # fmt: skip


def _base(who: str, name: str, top: Path, wanted: str) -> Path:
    """The folder with train/ and val/: ``top`` or the only one in it that bears the name."""
    places = [top, *(top / folder for folder in folders_in(top) if folder.startswith(name))]
    found = [place for place in places if folders_in(place / "train") and folders_in(place / "val")]
    if not found:
        raise FileNotFoundError(f"{who}: {top} must hold {wanted} (nothing is downloaded)")
    if len(found) > 1 and found[0] != top:
        names = ", ".join(place.name for place in found)
        raise ValueError(f"{who}: {top} holds {names} (pass one of them as root)")
    return found[0]
