"""Worlds that are drawn, not photographed: every scene parameter has a gradient.

``ShapeWorld`` is one object on a background: 24 classes (8 shapes x 3 fills), 23 parameters, six
weathers. What an edit or an attack changes is never the class, and never hides it.
"""

from sparsedef.worlds.captions import CaptionMode, write_captions
from sparsedef.worlds.classes import CLASSES, FILLS, SHAPES, class_index, fill_index, shape_index
from sparsedef.worlds.confounding import Confounding
from sparsedef.worlds.edits import EDITS, Edit
from sparsedef.worlds.feasible import FeasibleSet
from sparsedef.worlds.parameters import (
    BACKGROUNDS,
    CONDITIONS,
    GROUPS,
    PARAMETERS,
    Parameter,
    column,
    columns,
    group_columns,
)
from sparsedef.worlds.phrases import (
    BACKGROUND_PHRASES,
    FILL_FEATURES,
    SHAPE_FEATURES,
    WEATHER_PHRASES,
    irrelevant_phrases,
    relevant_phrases,
)
from sparsedef.worlds.renderer import Mask, class_mask, render
from sparsedef.worlds.sampler import draw_split, sample_scenes
from sparsedef.worlds.scenes import COLOURS, WEATHERS, Attributes, Scenes, attributes
from sparsedef.worlds.visibility import FLOORS, Visibility, visibility

__all__ = [
    "BACKGROUNDS",
    "BACKGROUND_PHRASES",
    "CLASSES",
    "COLOURS",
    "CONDITIONS",
    "EDITS",
    "FILLS",
    "FILL_FEATURES",
    "FLOORS",
    "GROUPS",
    "PARAMETERS",
    "SHAPES",
    "SHAPE_FEATURES",
    "WEATHERS",
    "WEATHER_PHRASES",
    "Attributes",
    "CaptionMode",
    "Confounding",
    "Edit",
    "FeasibleSet",
    "Mask",
    "Parameter",
    "Scenes",
    "Visibility",
    "attributes",
    "class_index",
    "class_mask",
    "column",
    "columns",
    "draw_split",
    "fill_index",
    "group_columns",
    "irrelevant_phrases",
    "relevant_phrases",
    "render",
    "sample_scenes",
    "shape_index",
    "visibility",
    "write_captions",
]
