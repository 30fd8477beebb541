"""Semantic attacks: they change what a picture is about, not its pixels within a radius."""

from __future__ import annotations

from sparsedef.attacks.semantic.appearance import Appearance
from sparsedef.attacks.semantic.edited_folder import EditedFolder
from sparsedef.attacks.semantic.instruct import Editor, Instruct2Attack
from sparsedef.attacks.semantic.lab import colour_difference, lab_to_rgb, rgb_to_lab
from sparsedef.attacks.semantic.recolour import Recolour

__all__ = [
    "Appearance",
    "EditedFolder",
    "Editor",
    "Instruct2Attack",
    "Recolour",
    "colour_difference",
    "lab_to_rgb",
    "rgb_to_lab",
]
