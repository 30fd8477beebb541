"""Real images that need no download: one file each, one entry each in ``DATASETS``."""

from __future__ import annotations

from collections.abc import Mapping

from sparsedef.data.base import Dataset, Loader, Split
from sparsedef.data.digits import load_digits
from sparsedef.data.photographs import load_photograph, load_photographs

DATASETS: Mapping[str, Loader] = {"digits": load_digits, "photographs": load_photographs}

__all__ = [
    "DATASETS",
    "Dataset",
    "Split",
    "load_digits",
    "load_photograph",
    "load_photographs",
]
