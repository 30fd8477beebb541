"""CLIP models as sparsedef uses them: a small one that is shipped, and any of open_clip's."""

from sparsedef.clip.encoder import ClipEncoder, fit_size, unit
from sparsedef.clip.load import load_clip
from sparsedef.clip.small import build_small_clip, load_small_clip, read_facts, save_small_clip
from sparsedef.clip.tokens import SmallTokenizer

__all__ = [
    "ClipEncoder",
    "SmallTokenizer",
    "build_small_clip",
    "fit_size",
    "load_clip",
    "load_small_clip",
    "read_facts",
    "save_small_clip",
    "unit",
]
