"""Attacks on image classifiers: one file each, one entry each in a table."""

from __future__ import annotations

from collections.abc import Mapping

from sparsedef.attacks.apgd import APGD
from sparsedef.attacks.apgd_targeted import APGDTargeted
from sparsedef.attacks.autoattack import AutoAttack
from sparsedef.attacks.base import Attack, AttackResult
from sparsedef.attacks.bim import BIM
from sparsedef.attacks.bpda import BPDA
from sparsedef.attacks.cw_l2 import CWL2, rescale
from sparsedef.attacks.cw_linf import CWLinf
from sparsedef.attacks.eot import EOT
from sparsedef.attacks.fgsm import FGSM
from sparsedef.attacks.mi_fgsm import MIFGSM
from sparsedef.attacks.pgd import PGD
from sparsedef.attacks.semantic import Appearance, EditedFolder, Instruct2Attack, Recolour
from sparsedef.attacks.spsa import SPSA
from sparsedef.attacks.square import Square
from sparsedef.attacks.target import GradientHealth, evaluation_mode

ATTACKS: Mapping[str, type[Attack]] = {
    "fgsm": FGSM,
    "bim": BIM,
    "pgd": PGD,
    "apgd": APGD,
    "apgd_t": APGDTargeted,
    "mi_fgsm": MIFGSM,
    "cw_l2": CWL2,
    "cw_linf": CWLinf,
    "square": Square,
    "spsa": SPSA,
    "autoattack": AutoAttack,
}
# bounded by what they edit, not by a radius: their distance says nothing about a norm's strength
SEMANTIC_ATTACKS: Mapping[str, type[Attack]] = {"recolour": Recolour, "appearance": Appearance}

__all__ = [
    "APGD",
    "ATTACKS",
    "BIM",
    "BPDA",
    "CWL2",
    "EOT",
    "FGSM",
    "MIFGSM",
    "PGD",
    "SEMANTIC_ATTACKS",
    "SPSA",
    "APGDTargeted",
    "Appearance",
    "Attack",
    "AttackResult",
    "AutoAttack",
    "CWLinf",
    "EditedFolder",
    "GradientHealth",
    "Instruct2Attack",
    "Recolour",
    "Square",
    "evaluation_mode",
    "rescale",
]
