"""Language-driven anchors: robust classifiers of classes that no training image had."""

from sparsedef.defenses.laat.anchors import ANCHORS, AnchorInputs, make_anchors
from sparsedef.defenses.laat.classifier import LAAT
from sparsedef.defenses.laat.expansion import AnchorExpansion, cosines, mean_cosine
from sparsedef.defenses.laat.prototypes import TEXT_WEIGHT, blend, class_means
from sparsedef.defenses.laat.texts import (
    TEMPLATE,
    ClassTexts,
    embed_classes,
    load_class_texts,
    shapeworld_texts,
    write_shapeworld_texts,
)

__all__ = [
    "ANCHORS",
    "LAAT",
    "TEMPLATE",
    "TEXT_WEIGHT",
    "AnchorExpansion",
    "AnchorInputs",
    "ClassTexts",
    "blend",
    "class_means",
    "cosines",
    "embed_classes",
    "load_class_texts",
    "make_anchors",
    "mean_cosine",
    "shapeworld_texts",
    "write_shapeworld_texts",
]
