"""Attacks on image classifiers: one file each, one entry each in ``ATTACKS``."""

from __future__ import annotations

from collections.abc import Mapping

from sparsedef.attacks.base import Attack, AttackResult
from sparsedef.attacks.bim import BIM
from sparsedef.attacks.cw_l2 import CWL2, rescale
from sparsedef.attacks.fgsm import FGSM
from sparsedef.attacks.mi_fgsm import MIFGSM
from sparsedef.attacks.pgd import PGD
from sparsedef.attacks.target import GradientHealth

ATTACKS: Mapping[str, type[Attack]] = {
    "fgsm": FGSM,
    "bim": BIM,
    "pgd": PGD,
    "mi_fgsm": MIFGSM,
    "cw_l2": CWL2,
}

__all__ = [
    "ATTACKS",
    "BIM",
    "CWL2",
    "FGSM",
    "MIFGSM",
    "PGD",
    "Attack",
    "AttackResult",
    "GradientHealth",
    "rescale",
]
