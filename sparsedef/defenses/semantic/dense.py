"""What a sparse code must be compared with: heads on the embedding, and dense concept features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from sparsedef.defenses.semantic.concept_classifier import ConceptClassifier
from sparsedef.defenses.semantic.embedding import EmbeddingClassifier
from sparsedef.defenses.semantic.inputs import make_atoms
from sparsedef.defenses.semantic.logistic import HeadFit
from sparsedef.defenses.semantic.words import Words

if TYPE_CHECKING:
    from typing_extensions import Self

NO_LP_CLAIM = "Undefended against l_p attacks: they move the embedding wherever they like."


class ZeroShot(EmbeddingClassifier):
    """Compares the image with one prompt per class; nothing is trained.

    logits = scale * cosine of the embedding and the prompts (both centred if ``center`` says so).

    Args:
        encoder: Images to embeddings.
        prompts: Embedded prompts, ``[C, M]``, any norms.
        scale: Factor of the cosines; by default the encoder's own, or 100.
        center: See ``EmbeddingClassifier``.
    """

    notes: ClassVar[str] = NO_LP_CLAIM

    def __init__(
        self,
        encoder: nn.Module,
        prompts: Tensor,
        *,
        scale: float | None = None,
        center: str = "none",
    ) -> None:
        """Checks and keeps the settings; see the class."""
        atoms = make_atoms("ZeroShot", prompts, is_centred=center in ("text", "both"))
        super().__init__(encoder, len(atoms), atoms.shape[1], atoms.shape[1], center=center)
        if scale is None:
            scale = float(getattr(encoder, "scale", 100.0))
        self.keep_as(atoms, atoms.device)
        self.weight.copy_(scale * atoms)
        self.is_fitted = True

    @classmethod
    def of_words(
        cls, encoder: nn.Module, words: Words, width: int, n_classes: int, seed: int, **options: Any
    ) -> Self:
        """Builds one of ``words.prompts``."""
        return cls(encoder, words.need(cls.__name__, "prompts"), **options)

    def fit_head(self, embeddings: Tensor, labels: Tensor, **options: Any) -> HeadFit:
        """Leaves the prompts as they are: no example is looked at."""
        self.is_fitted = True
        return HeadFit(self.weight, self.bias, 0.0, torch.ones_like(self.weight[0]))

    def features(self, x: Tensor) -> Tensor:
        """The centred embedding itself, ``[B, M]``."""
        return x


class LinearProbe(EmbeddingClassifier):
    """Reads the class off the whole embedding by a linear head."""

    notes: ClassVar[str] = NO_LP_CLAIM

    def __init__(
        self,
        encoder: nn.Module,
        width: int,
        n_classes: int,
        *,
        center: str = "both",
        standardise: str = "whole",
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(encoder, n_classes, width, width, center=center, standardise=standardise)

    @classmethod
    def of_words(
        cls, encoder: nn.Module, words: Words, width: int, n_classes: int, seed: int, **options: Any
    ) -> Self:
        """Builds one; it needs no words."""
        return cls(encoder, width, n_classes, **options)

    def features(self, x: Tensor) -> Tensor:
        """The centred embedding itself, ``[B, M]``."""
        return x


class NuisanceRemoved(EmbeddingClassifier):
    """Reads the class off what is left of the embedding when nuisance directions are taken out.

    The directions are the leading singular vectors of the embedded nuisances, as many as hold
    ``energy`` of their squared length.

    Args:
        encoder: Images to embeddings.
        nuisances: Embedded texts of what may change, ``[n, M]``; centred by their mean where
            ``center`` is ``"text"`` or ``"both"``.
        n_classes: C.
        energy: In (0, 1].
        center: See ``EmbeddingClassifier``.
        standardise: See ``EmbeddingClassifier``.

    Raises:
        ValueError: ``energy`` is out of range, or nothing would be left of the embedding.
    """

    notes: ClassVar[str] = NO_LP_CLAIM
    SETTINGS: ClassVar[tuple[str, ...]] = (*EmbeddingClassifier.SETTINGS, "n_removed")

    kept: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        nuisances: Tensor,
        n_classes: int,
        *,
        energy: float = 0.99,
        center: str = "both",
        standardise: str = "whole",
    ) -> None:
        """Checks and keeps the settings; see the class."""
        who = "NuisanceRemoved"
        if not 0 < energy <= 1:
            raise ValueError(f"{who}: energy must lie in (0, 1], got {energy}")
        atoms = make_atoms(who, nuisances, is_centred=center in ("text", "both"))
        width = atoms.shape[1]
        super().__init__(encoder, n_classes, width, width, center=center, standardise=standardise)
        _, values, directions = torch.linalg.svd(atoms.double(), full_matrices=False)
        held = values.square().cumsum(0) / values.square().sum()
        rank = int((values > 1e-6 * values[0]).sum())
        self.n_removed = min(int((held < energy).sum()) + 1, rank)
        if self.n_removed >= width:
            raise ValueError(
                f"{who}: nuisances must span less than the {width} dimensions of the embedding,"
                f" got {self.n_removed} (a smaller energy leaves more)"
            )
        directions = directions[: self.n_removed]
        eye = torch.eye(width, dtype=torch.float64, device=atoms.device)
        self.register_buffer("kept", (eye - directions.mT @ directions).to(atoms))
        self.keep_as(atoms, atoms.device)

    @classmethod
    def of_words(
        cls, encoder: nn.Module, words: Words, width: int, n_classes: int, seed: int, **options: Any
    ) -> Self:
        """Builds one of ``words.nuisances``."""
        return cls(encoder, words.need(cls.__name__, "nuisances"), n_classes, **options)

    def features(self, x: Tensor) -> Tensor:
        """The centred embedding without its nuisance part, ``[B, M]``, whatever norm is left."""
        return x @ self.kept


class DenseConcepts(ConceptClassifier):
    """Reads the class off the similarities to all concepts, x @ dictionary.T.

    The baseline that any claim for sparsity must beat: same concepts, same head, no sparse code.
    """

    notes: ClassVar[str] = NO_LP_CLAIM

    def encode(self, x: Tensor) -> Tensor:
        """Similarities to the atoms, ``[B, N]``."""
        return x @ self.dictionary.mT


class RidgeConcepts(ConceptClassifier):
    """Reads the class off the ridge coordinates over the concepts.

    code = argmin_z 1/2 ||x - z @ dictionary||^2 + ridge / 2 ||z||^2; with ``ridge=0`` the
    least-squares coordinates of least norm.

    Args:
        encoder: Images to embeddings.
        dictionary: Embedded concepts, ``[N, M]``.
        n_classes: C.
        ridge: At least 0.
        options: Of ``ConceptClassifier``.
    """

    notes: ClassVar[str] = NO_LP_CLAIM
    SETTINGS: ClassVar[tuple[str, ...]] = (*ConceptClassifier.SETTINGS, "ridge")

    solution: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        dictionary: Tensor,
        n_classes: int,
        *,
        ridge: float = 1e-3,
        **options: Any,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(encoder, dictionary, n_classes, **options)
        if not ridge >= 0:
            raise ValueError(f"RidgeConcepts: ridge must be at least 0, got {ridge}")
        self.ridge = float(ridge)
        left, values, right = torch.linalg.svd(self.dictionary.double(), full_matrices=False)
        # Directions that no atom has to rounding get no coordinate.
        smallest = values[0] * max(dictionary.shape) * torch.finfo(self.dictionary.dtype).eps
        inverse = (values / (values.square() + ridge)).where(values > smallest, 0)
        self.register_buffer("solution", (right.mT * inverse @ left.mT).to(self.dictionary))

    def encode(self, x: Tensor) -> Tensor:
        """Ridge coordinates, ``[B, N]``."""
        return x @ self.solution
