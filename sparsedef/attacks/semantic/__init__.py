"""Semantic attacks: they change what a picture is about, not its pixels within a radius."""

from __future__ import annotations

from sparsedef.attacks.semantic.appearance import Appearance
from sparsedef.attacks.semantic.best_of_n import BestOfN
from sparsedef.attacks.semantic.code_losses import (
    CodeGradient,
    CodeModel,
    ConceptLoss,
    SupportLoss,
)
from sparsedef.attacks.semantic.edited_folder import EditedFolder
from sparsedef.attacks.semantic.instruct import Editor, Instruct2Attack
from sparsedef.attacks.semantic.lab import colour_difference, lab_to_rgb, rgb_to_lab
from sparsedef.attacks.semantic.named_edits import NamedEdits
from sparsedef.attacks.semantic.pix2pix import InstructPix2PixEditor
from sparsedef.attacks.semantic.recolour import Recolour
from sparsedef.attacks.semantic.scene_ascent import SceneAscent
from sparsedef.attacks.semantic.scene_attack import SceneAttack, judge
from sparsedef.attacks.semantic.scene_result import SceneResult, worst_of

__all__ = [
    "Appearance",
    "BestOfN",
    "CodeGradient",
    "CodeModel",
    "ConceptLoss",
    "EditedFolder",
    "Editor",
    "Instruct2Attack",
    "InstructPix2PixEditor",
    "NamedEdits",
    "Recolour",
    "SceneAscent",
    "SceneAttack",
    "SceneResult",
    "SupportLoss",
    "colour_difference",
    "judge",
    "lab_to_rgb",
    "rgb_to_lab",
    "worst_of",
]
