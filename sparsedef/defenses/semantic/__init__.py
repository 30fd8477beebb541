"""The sparse semantic defense and all that it is compared with: heads on image embeddings."""

from sparsedef.defenses.semantic.adversarial_probe import AdversarialProbe
from sparsedef.defenses.semantic.concept_classifier import ConceptClassifier
from sparsedef.defenses.semantic.dense import (
    DenseConcepts,
    LinearProbe,
    NuisanceRemoved,
    RidgeConcepts,
    ZeroShot,
)
from sparsedef.defenses.semantic.embedding import EmbeddingClassifier, embed_images
from sparsedef.defenses.semantic.explanation import Comparison, Explanation
from sparsedef.defenses.semantic.pursuit_concepts import PursuitConcepts
from sparsedef.defenses.semantic.rivals import RIVALS, Rival
from sparsedef.defenses.semantic.shift import Shift
from sparsedef.defenses.semantic.sparse_concepts import SparseConcepts
from sparsedef.defenses.semantic.ssd import SSD
from sparsedef.defenses.semantic.words import Words

__all__ = [
    "RIVALS",
    "SSD",
    "AdversarialProbe",
    "Comparison",
    "ConceptClassifier",
    "DenseConcepts",
    "EmbeddingClassifier",
    "Explanation",
    "LinearProbe",
    "NuisanceRemoved",
    "PursuitConcepts",
    "RidgeConcepts",
    "Rival",
    "Shift",
    "SparseConcepts",
    "Words",
    "ZeroShot",
    "embed_images",
]
