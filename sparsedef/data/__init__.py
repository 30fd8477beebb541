"""Real images: some come with the packages, some lie in a folder of yours; none is downloaded."""

from __future__ import annotations

from sparsedef.data.base import Dataset, Loader, Split
from sparsedef.data.by_name import BUILT_IN, DATASETS, load_dataset
from sparsedef.data.cifar import load_cifar10, load_cifar100
from sparsedef.data.digits import load_digits
from sparsedef.data.folder import load_folder
from sparsedef.data.imagenet import load_imagenet
from sparsedef.data.imagenette import load_imagenette, load_imagewoof
from sparsedef.data.photographs import load_photograph, load_photographs
from sparsedef.data.shapeworld import ShapeWorldDataset, ShapeWorldSplit, load_shapeworld

__all__ = [
    "BUILT_IN",
    "DATASETS",
    "Dataset",
    "Loader",
    "ShapeWorldDataset",
    "ShapeWorldSplit",
    "Split",
    "load_cifar10",
    "load_cifar100",
    "load_dataset",
    "load_digits",
    "load_folder",
    "load_imagenet",
    "load_imagenette",
    "load_imagewoof",
    "load_photograph",
    "load_photographs",
    "load_shapeworld",
]
