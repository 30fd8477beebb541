"""Defenses of image classifiers: one file each, one entry each in ``DEFENSES``."""

from __future__ import annotations

from collections.abc import Mapping

from sparsedef.defenses.base import Defense, Purifier
from sparsedef.defenses.bilateral import Bilateral
from sparsedef.defenses.identity import Identity
from sparsedef.defenses.regionsparse import RegionSparse

DEFENSES: Mapping[str, type[Defense]] = {
    "none": Identity,
    "bilateral": Bilateral,
    "regionsparse": RegionSparse,
}

__all__ = ["DEFENSES", "Bilateral", "Defense", "Identity", "Purifier", "RegionSparse"]
