"""Zero-shot data sets of pictures: CIFAR-FS, and folders such as miniImageNet's or ImageNet's."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from sparsedef.data.base import Split
from sparsedef.data.cifar import load_cifar100
from sparsedef.data.class_folders import check_root, class_pool, folders_in
from sparsedef.data.class_split import ClassSplit, Pooled, places
from sparsedef.data.parts import Pool, check_size, stratified
from sparsedef.data.pictures import need_pillow
from sparsedef.training.step import Tensors

# of CIFAR-100, by Bertinetto, Henriques, Torr, Vedaldi, 2019; the other 64 classes are seen
CIFAR_FS_VALIDATION = (
    "beaver", "beetle", "butterfly", "camel", "cattle", "crab", "crocodile", "flatfish", "lamp",
    "maple_tree", "motorcycle", "otter", "sea", "shark", "television", "tractor",
)  # fmt: skip
CIFAR_FS_UNSEEN = (
    "baby", "bed", "bicycle", "chimpanzee", "fox", "leopard", "man", "pickup_truck", "plain",
    "poppy", "rocket", "rose", "snail", "sweet_pepper", "table", "telephone", "wardrobe", "whale",
    "woman", "worm",
)  # fmt: skip
WANTED = "train/, val/ and test/ with one folder of pictures per class, no class in two of them"
VALIDATION_FOLDERS = ("val", "valid", "validation")


def load_cifar_fs(
    root: str | os.PathLike[str] | None = None, *, seed: int = 0, size: int = 32
) -> ClassSplit:
    """Divides the classes of CIFAR-100 as CIFAR-FS does: 64 seen, 16 for validation, 20 unseen.

    Of the seen classes the 500 published training images are trained on and the 100 published
    test images held out (CIFAR-FS itself trains on all 600); of the others all 600 are there.

    Args:
        root: As in :func:`sparsedef.data.cifar.load_cifar100`.
        seed: Of the order.
        size: Height and width.

    Raises:
        FileNotFoundError: The files of CIFAR-100 are not there.
    """
    cifar = load_cifar100(root, seed=seed, size=size)
    number = {name: label for label, name in enumerate(cifar.classes)}
    chosen = tuple(number[name] for name in CIFAR_FS_VALIDATION)
    unseen = tuple(number[name] for name in CIFAR_FS_UNSEEN)
    seen = tuple(label for label in range(len(cifar.classes)) if label not in (*chosen, *unseen))
    learnt = (cifar.train, cifar.validation)
    train = _only(learnt, seen)
    return ClassSplit(
        "cifar_fs", cifar.classes, seen, chosen, unseen,
        train=Tensors(train.images, places(train.labels, seen)),
        held_out=_only((cifar.test,), seen),
        validation=_only((*learnt, cifar.test), chosen),
        test=_only((*learnt, cifar.test), unseen),
        source=f"{cifar.source}, classes divided as CIFAR-FS",
    )  # fmt: skip


def load_split_folders(
    root: str | os.PathLike[str] | None = None,
    *,
    seed: int = 0,
    size: int = 80,
    n_evaluated: int = 100,
) -> ClassSplit:
    """Loads pictures in folders whose parts have different classes, such as miniImageNet's.

    Layout: ``root/train/CLASS/*.jpg``, ``root/val/CLASS/...``, ``root/test/CLASS/...``; for
    ImageNet to other data, ``train`` is ImageNet's and ``test`` the other's. Training pictures are
    read when they are needed, the others at once.

    Args:
        root: The folder.
        seed: Of what is held out and of the order.
        size: The short side is resized to it, the middle kept.
        n_evaluated: Pictures per class at most of each part but ``train``; so many of each seen
            class are held out too, though never more than a tenth.

    Raises:
        FileNotFoundError: A folder is missing.
        ValueError: A class is in two parts.
        ImportError: Pillow is not installed.
    """
    who = "load_split_folders"
    check_size(who, size)
    base = check_root(who, root, WANTED)
    need_pillow(who)
    folders = {"train": base / "train", "test": base / "test"}
    for name in VALIDATION_FOLDERS:
        if folders_in(base / name):
            folders["validation"] = base / name
    for part in ("train", "validation", "test"):
        if part not in folders or not folders_in(folders[part]):
            raise FileNotFoundError(f"{who}: {base} must hold {WANTED}, but there is no {part}")
    by_part = {part: folders_in(folder) for part, folder in folders.items()}
    classes = tuple(sorted({name for names in by_part.values() for name in names}))
    number = {name: label for label, name in enumerate(classes)}
    labels = {part: tuple(number[name] for name in names) for part, names in by_part.items()}
    pools = {part: class_pool(who, base, folder, number, size) for part, folder in folders.items()}
    learnt, kept = _hold_out(pools["train"], n_evaluated, seed)
    return ClassSplit(
        "folder", classes, labels["train"], labels["validation"], labels["test"],
        train=Pooled(
            pools["train"], learnt, places(pools["train"].labels[learnt], labels["train"])
        ),
        held_out=_read(pools["train"], kept),
        validation=_read(pools["validation"], _first(pools["validation"], n_evaluated, seed)),
        test=_read(pools["test"], _first(pools["test"], n_evaluated, seed)),
        source=f"pictures in {Path(base).name}/, parts of different classes",
    )  # fmt: skip


def _only(parts: tuple[Split, ...], labels: tuple[int, ...]) -> Split:
    """The images of some classes, from several parts."""
    kept = [part.where(torch.isin(part.labels, torch.tensor(labels))) for part in parts]
    ids = tuple(each for part in kept for each in part.ids)
    return Split(
        torch.cat([part.images for part in kept]), torch.cat([part.labels for part in kept]), ids
    )


def _hold_out(pool: Pool, most: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows to train on and rows held out: a tenth of each class, or ``most`` of it."""
    order = torch.tensor(stratified(pool.labels, seed))
    kept = []
    for label in pool.labels.unique().tolist():
        own = order[pool.labels[order] == label]
        kept.append(own[: min(most, len(own) // 10)])
    is_held = torch.isin(order, torch.cat(kept))
    return order[~is_held], order[is_held]


def _first(pool: Pool, most: int, seed: int) -> torch.Tensor:
    """The first rows of each class; every beginning holds the classes in proportion."""
    order = torch.tensor(stratified(pool.labels, seed))
    own = [order[pool.labels[order] == label][:most] for label in pool.labels.unique().tolist()]
    return order[torch.isin(order, torch.cat(own))]


def _read(pool: Pool, rows: torch.Tensor) -> Split:
    numbers = rows.tolist()
    ids = tuple(pool.ids[row] for row in numbers)
    return Split(pool.read(numbers), pool.labels[rows], ids)
