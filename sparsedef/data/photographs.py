"""The two photographs that come with scikit-learn, cut into crops: which photograph is it?"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.data.base import Dataset, Split, need_sklearn, shuffled

CLASSES = ("china", "flower")


def load_photograph(name: str) -> Tensor:
    """Loads one photograph, ``"china"`` or ``"flower"``, as ``[3, 427, 640]`` in [0, 1]."""
    need_sklearn("load_photograph")
    if name not in CLASSES:
        raise ValueError(f"load_photograph: name must be one of {CLASSES}, got {name!r}")
    from sklearn.datasets import load_sample_image

    pixels = torch.tensor(load_sample_image(f"{name}.jpg"))
    return pixels.permute(2, 0, 1).float() / 255


def strips(height: int, width: int, crop: int) -> dict[str, tuple[int, int]]:
    """Says which columns of a photograph belong to which part: first and one past the last.

    Training left, validation in the middle, test right, with ``crop`` unused columns between
    them, so that neighbouring pixels of one part never help another.
    """
    usable = width - 2 * crop
    train, validation = int(usable * 0.45), int(usable * 0.12)
    second = train + crop
    third = second + validation + crop
    return {
        "train": (0, train),
        "validation": (second, second + validation),
        "test": (third, width),
    }


def load_photographs(*, seed: int = 0, size: int = 32, stride: int = 12) -> Dataset:
    """Cuts ``size`` x ``size`` crops; the class is the photograph they come from.

    Each photograph gives the same number of crops, in a random order.

    Args:
        seed: Of the order of the crops.
        size: Height and width of a crop.
        stride: Step between crops in the training part. Crops of the other parts do not
            overlap, so that they count as separate samples.

    Returns:
        ``Dataset`` with images ``[B, 3, size, size]``; ids are ``photograph/row,column``.
    """
    parts = {}
    for number, (part, step) in enumerate(
        [("train", stride), ("validation", size), ("test", size)]
    ):
        images, labels, ids = [], [], []
        for label, name in enumerate(CLASSES):
            photograph = load_photograph(name)
            _, height, width = photograph.shape
            first, last = strips(height, width, size)[part]
            for row in range(0, height - size + 1, step):
                for column in range(first, last - size + 1, step):
                    images.append(photograph[:, row : row + size, column : column + size])
                    labels.append(label)
                    ids.append(f"{name}/{row},{column}")
        order = shuffled(len(ids), seed + number)
        parts[part] = Split(
            torch.stack(images)[order], torch.tensor(labels)[order], tuple(ids[i] for i in order)
        )
    return Dataset(
        name="photographs",
        classes=CLASSES,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        source=(
            f"scikit-learn load_sample_image: {size} x {size} crops of two photographs "
            f"(427 x 640); training crops from the left, test crops from the right"
        ),
    )
