"""ImageNet (ILSVRC 2012) from its usual folders."""

from __future__ import annotations

import os
from pathlib import Path

from sparsedef.data.base import Dataset
from sparsedef.data.class_folders import (
    check_root,
    class_pool,
    folders_in,
    picture_pool,
    pictures_in,
)
from sparsedef.data.parts import Limits, Pool, build_dataset, check_size
from sparsedef.data.pictures import need_pillow
from sparsedef.data.synsets import (
    LABEL_FILES,
    SYNSET,
    find_label_file,
    read_class_map,
    read_labels,
)

WANTED = (
    "ImageNet: val/SYNSET/*.JPEG, or val/*.JPEG with one of "
    f"{', '.join(LABEL_FILES)}; and maybe train/SYNSET/*.JPEG"
)
CENTRE = 0.875  # share of the short side that is kept: 224 of 256, 299 of 342


def load_imagenet(
    root: str | os.PathLike[str] | None = None,
    *,
    seed: int = 0,
    size: int = 224,
    n_train: int | None = None,
    n_validation: int | None = None,
    n_test: int | None = None,
) -> Dataset:
    """Loads some images of ImageNet (ILSVRC 2012); nothing is downloaded.

    The test part is drawn from ``val/``, training and validation from ``train/``; without
    ``train/`` the seed divides ``val/`` (a fifth to test, a tenth for validation). ``val/`` has
    one folder per synset, or the 50,000 files with a label file beside them or in ``root``. The
    layout of the Kaggle archive (``ILSVRC/Data/CLS-LOC/``) is found too.

    Classes are numbered in the order of ``LOC_synset_mapping.txt``, ``synset_words.txt`` or
    ``imagenet_class_index.json`` if one lies in ``root``, which also names them; so a folder that
    has only some of the 1,000 synsets keeps the labels of a network for all. Without such a file:
    the synsets that are there, sorted.

    Args:
        root: The folder.
        seed: Of the division and the order.
        size: Height and width. The short side is resized to ``size / 0.875`` (256 for 224, 342 for
            299; bicubic, antialiased) and the middle kept, as networks for ImageNet are tested.
        n_train: Training images at most; every beginning of a part holds its classes in
            proportion. ``None`` for 1,000, or as many as there are.
        n_validation: The same for validation.
        n_test: The same for testing.

    Returns:
        ``Dataset`` with images ``[B, 3, size, size]`` float32 in [0, 1]; ids are paths from
        ``root``.

    Raises:
        FileNotFoundError: No such folder, no ``val/``, or no labels for it.
        ValueError: Files that do not fit together, or a limit above what is there.
        ImportError: Pillow is not installed.

    Source: Russakovsky et al., ImageNet large scale visual recognition challenge, 2015.
    """
    who = "load_imagenet"
    check_size(who, size)
    top = check_root(who, root, WANTED)
    need_pillow(who)
    base = next((b for b in (top, top / "ILSVRC/Data/CLS-LOC") if (b / "val").is_dir()), None)
    if base is None or not (folders_in(base / "val") or pictures_in(base / "val")):
        raise FileNotFoundError(f"{who}: {top} must hold {WANTED} (nothing is downloaded)")
    flat = [] if folders_in(base / "val") else pictures_in(base / "val")
    found = _flat_labels(who, top, base, flat) if flat else []
    names = read_class_map(who, [top, base]) or _unnamed(who, base, found)
    labels = {synset: label for label, synset in enumerate(names)}
    short_side = round(size / CENTRE)
    if flat:
        numbers = [_number(who, label, labels) for label in found]
        test = picture_pool(who, top, flat, numbers, size, short_side=short_side)
    else:
        test = class_pool(who, top, base / "val", labels, size, short_side=short_side)
    pools: dict[str, Pool] = {"all": test}
    if folders_in(base / "train"):
        train = class_pool(who, top, base / "train", labels, size, short_side=short_side)
        pools = {"train": train, "test": test}
    told = "train/ and val/" if "train" in pools else f"val/ alone, divided by seed {seed}"
    return build_dataset(
        who, "imagenet", pools, classes=tuple(names.values()),
        source=f"ImageNet (ILSVRC 2012) in {top}: {told}", size=size, seed=seed,
        limits=Limits(n_train, n_validation, n_test), default=1000,
    )  # fmt: skip


def _flat_labels(who: str, top: Path, base: Path, files: list[Path]) -> list[str]:
    """The label, as its file has it, of each picture of a validation folder without classes."""
    path = find_label_file([top, base, base / "val"])
    if path is None:
        raise FileNotFoundError(
            f"{who}: {base / 'val'} has no class folders, so {top} must hold their labels, as one "
            f"of {', '.join(LABEL_FILES)}"
        )
    return read_labels(who, path, files)


def _unnamed(who: str, base: Path, found: list[str]) -> dict[str, str]:
    """The synsets that are there, each its own name, where no file names them."""
    there = {*folders_in(base / "train"), *folders_in(base / "val")}
    synsets = sorted(there | {label for label in found if SYNSET.fullmatch(label)})
    for synset in synsets:
        if not SYNSET.fullmatch(synset):
            raise ValueError(
                f"{who}: folders in {base} must be named after synsets, like n01440764, got "
                f"{synset!r} (for other classes take the data set 'folder')"
            )
    if not synsets and all(label.isdecimal() for label in found):
        return {str(i): str(i) for i in range(max((int(label) for label in found), default=-1) + 1)}
    return {synset: synset for synset in synsets}


def _number(who: str, label: str, labels: dict[str, int]) -> int:
    """The number of a class that a label file gives as a synset or as that number."""
    if label in labels:
        return labels[label]
    if label.isdecimal() and int(label) < len(labels):
        return int(label)
    raise ValueError(f"{who}: the label {label!r} of val/ is none of the {len(labels)} classes")
