"""Defenses of image classifiers: one file each, one entry each in ``DEFENSES``."""

from __future__ import annotations

from collections.abc import Mapping

from sparsedef.defenses.base import Defense, Purifier
from sparsedef.defenses.bilateral import Bilateral
from sparsedef.defenses.carso import CARSO
from sparsedef.defenses.comdefend import ComDefend, NoisyComDefend
from sparsedef.defenses.feature_squeezing import FeatureSqueezing
from sparsedef.defenses.identity import Identity
from sparsedef.defenses.jpeg import JPEG
from sparsedef.defenses.non_local_means import NLMSettings, NonLocalMeans
from sparsedef.defenses.regionsparse import RegionSparse
from sparsedef.defenses.regionsparse_stages import ABLATIONS, STAGES, RegionSparseSizes
from sparsedef.defenses.semantic.ssd import SSD
from sparsedef.defenses.tvm import TVM, TotalVariation

DEFENSES: Mapping[str, type[Defense]] = {
    "none": Identity,
    "bilateral": Bilateral,
    "non_local_means": NonLocalMeans,
    "total_variation": TotalVariation,
    "tvm": TVM,
    "feature_squeezing": FeatureSqueezing,
    "jpeg": JPEG,
    "comdefend": ComDefend,
    "regionsparse": RegionSparse,
    "ssd": SSD,
    "carso": CARSO,
}

__all__ = [
    "ABLATIONS",
    "CARSO",
    "DEFENSES",
    "JPEG",
    "SSD",
    "STAGES",
    "TVM",
    "Bilateral",
    "ComDefend",
    "Defense",
    "FeatureSqueezing",
    "Identity",
    "NLMSettings",
    "NoisyComDefend",
    "NonLocalMeans",
    "Purifier",
    "RegionSparse",
    "RegionSparseSizes",
    "TotalVariation",
]
