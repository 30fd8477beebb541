"""Images that need no download, real or drawn: one file each, one entry each in ``DATASETS``."""

from __future__ import annotations

from collections.abc import Mapping

from sparsedef.data.base import Dataset, Loader, Split
from sparsedef.data.digits import load_digits
from sparsedef.data.photographs import load_photograph, load_photographs
from sparsedef.data.shapeworld import ShapeWorldDataset, ShapeWorldSplit, load_shapeworld

DATASETS: Mapping[str, Loader] = {
    "digits": load_digits,
    "photographs": load_photographs,
    "shapeworld": load_shapeworld,
}

__all__ = [
    "DATASETS",
    "Dataset",
    "ShapeWorldDataset",
    "ShapeWorldSplit",
    "Split",
    "load_digits",
    "load_photograph",
    "load_photographs",
    "load_shapeworld",
]
