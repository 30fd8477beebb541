"""Every classifier that SSD is compared with, SSD among them, fitted to the same embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from sparsedef.defenses.semantic.adversarial_probe import AdversarialProbe
from sparsedef.defenses.semantic.dense import (
    DenseConcepts,
    LinearProbe,
    NuisanceRemoved,
    RidgeConcepts,
    ZeroShot,
)
from sparsedef.defenses.semantic.embedding import EmbeddingClassifier
from sparsedef.defenses.semantic.pursuit_concepts import PursuitConcepts
from sparsedef.defenses.semantic.ssd import SSD
from sparsedef.defenses.semantic.words import Words


@dataclass(frozen=True)
class Rival:
    """One way to classify embeddings.

    Args:
        kind: The class.
        about: What it is, for tables.
        options: Of ``kind.from_embeddings``, where it differs from its siblings.
    """

    kind: type[EmbeddingClassifier]
    about: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def fit(
        self, encoder: nn.Module, embeddings: Tensor, labels: Tensor, words: Words, **options: Any
    ) -> EmbeddingClassifier:
        """Fits it to clean embeddings; ``options`` are those of ``kind.from_embeddings``."""
        return self.kind.from_embeddings(
            encoder, embeddings, labels, words, **{**self.options, **options}
        )


RIVALS: Mapping[str, Rival] = {
    "zero_shot": Rival(ZeroShot, "class prompts, nothing trained"),
    "linear_probe": Rival(LinearProbe, "linear head on the embedding"),
    "adversarial_probe": Rival(AdversarialProbe, "the same, trained on perturbed embeddings"),
    "nuisance_removed": Rival(NuisanceRemoved, "the same, nuisance words projected out"),
    "dense_concepts": Rival(DenseConcepts, "linear head on similarities to the concepts"),
    "ridge_concepts": Rival(RidgeConcepts, "linear head on ridge coordinates over the concepts"),
    "ssd": Rival(SSD, "linear head on the LASSO code over the concepts"),
    "ssd_debiased": Rival(SSD, "the same, fitted anew on its support", {"debias": True}),
    "ssd_nonnegative": Rival(SSD, "the same with code >= 0 (SpLiCE)", {"nonnegative": True}),
    "pursuit_concepts": Rival(PursuitConcepts, "a fixed number of concepts (IP-OMP)"),
    "ssd_random": Rival(SSD, "LASSO code over random directions", {"atoms": "random"}),
    "ssd_all_seen": Rival(SSD, "concepts and nuisances, the head sees all", {"atoms": "all"}),
    "ssd_concepts_seen": Rival(
        SSD, "concepts and nuisances, the head sees concepts", {"atoms": "all", "sees": "concepts"}
    ),
}
