"""Your own pictures: one folder per class, divided already or by the seed."""

from __future__ import annotations

import os
from pathlib import Path

from sparsedef.data.base import Dataset
from sparsedef.data.class_folders import check_root, class_pool, folders_in, pictures_in
from sparsedef.data.parts import Limits, build_dataset, check_size
from sparsedef.data.pictures import need_pillow, own_size

WANTED = "one folder of .png or .jpg files per class, or train/ and test/ with such folders"
PARTS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}


def load_folder(
    root: str | os.PathLike[str] | None = None,
    *,
    seed: int = 0,
    size: int | None = None,
    n_train: int | None = None,
    n_validation: int | None = None,
    n_test: int | None = None,
) -> Dataset:
    """Loads pictures of your own, classes named after their folders, in sorted order.

    Layouts: ``root/train/CLASS/*.png`` with ``root/test/...`` and maybe ``root/validation/...``
    (also ``valid`` or ``val``); or ``root/CLASS/*.png`` alone, of which the seed sets a fifth apart
    for testing and a tenth for validation. Of ``train`` and ``validation`` alone, the latter is
    the test part; without a part of its own, validation is a tenth of the training pictures.

    Args:
        root: The folder.
        seed: Of the division and the order. Another seed divides a plain folder otherwise: keep
            it between training and testing.
        size: Height and width: the short side is resized to it (bicubic, antialiased), the middle
            kept. ``None``: the pictures are squares of one size already.
        n_train: Training images at most; every beginning of a part holds its classes in
            proportion. ``None`` for all.
        n_validation: The same for validation.
        n_test: The same for testing.

    Returns:
        ``Dataset`` with images ``[B, 3, size, size]`` float32 in [0, 1]; ids are paths from
        ``root``.

    Raises:
        FileNotFoundError: No such folder, or a part is missing.
        ValueError: No classes or pictures in it, sizes that differ, or a limit above what is there.
        ImportError: Pillow is not installed.
    """
    who = "load_folder"
    if size is not None:
        check_size(who, size)
    base = check_root(who, root, WANTED)
    need_pillow(who)
    parts = _parts(who, base)
    first = next(iter(parts.values()))
    classes = folders_in(first)
    if not classes:
        raise ValueError(f"{who}: {base} must hold {WANTED}")
    files = pictures_in(first / classes[0])
    side = size or (own_size(who, files[0]) if files else 1)
    labels = {name: label for label, name in enumerate(classes)}
    pools = {
        part: class_pool(who, base, folder, labels, side, exact=size is None)
        for part, folder in parts.items()
    }
    return build_dataset(
        who, "folder", pools, classes=classes, source=_describe(base, parts, seed), size=side,
        seed=seed, limits=Limits(n_train, n_validation, n_test),
    )  # fmt: skip


def _parts(who: str, base: Path) -> dict[str, Path]:
    """Which folder is which part; only one, ``"all"``, when the classes lie right in ``base``."""
    found = {}
    for part, names in PARTS.items():
        for name in names:
            # a class may be called "train", but then its folder holds pictures, not folders
            if part not in found and folders_in(base / name):
                found[part] = base / name
    if not found:
        return {"all": base}
    if "train" not in found or len(found) == 1:
        missing = "train/" if "train" not in found else "test/ or validation/"
        raise FileNotFoundError(
            f"{who}: {base} holds {', '.join(f'{p.name}/' for p in found.values())} but no "
            f"{missing} (to have one folder divided by the seed, pass it as root)"
        )
    if "test" not in found:
        found["test"] = found.pop("validation")
    return found


def _describe(base: Path, parts: dict[str, Path], seed: int) -> str:
    if "all" in parts:
        return f"pictures in {base}, divided into parts by seed {seed}"
    folders = ", ".join(f"{part} from {folder.name}/" for part, folder in parts.items())
    apart = "" if "validation" in parts else f", a tenth of train for validation by seed {seed}"
    return f"pictures in {base}: {folders}{apart}"
