"""A fixed number of concepts per image, chosen greedily."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from sparsedef.defenses.semantic.sparse_concepts import SparseConcepts
from sparsedef.solvers.checks import check_count
from sparsedef.solvers.omp import omp


class PursuitConcepts(SparseConcepts):
    """Codes each image with the same number of concepts, by orthogonal matching pursuit.

    Concepts are added one by one, each time the one that lowers the residual most, with a
    least-squares fit of all (``sparsedef.omp(selection="ols")``).

    Args:
        encoder: Images to embeddings.
        dictionary: Embedded concepts, ``[N, M]``.
        n_classes: C.
        n_nonzero: Concepts per image; at most min(M, N) are used.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.
        options: Of ``ConceptClassifier``. The source does not centre (``center="none"``).

    Source: Chattopadhyay, Pilgrim, Vidal, "Information maximization perspective of orthogonal
    matching pursuit with applications to explainable AI", 2023 (IP-OMP).
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (*SparseConcepts.SETTINGS, "n_nonzero")

    def __init__(
        self,
        encoder: nn.Module,
        dictionary: Tensor,
        n_classes: int,
        *,
        n_nonzero: int = 8,
        backend: str = "auto",
        **options: Any,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(encoder, dictionary, n_classes, **options)
        most = min(self.dictionary.shape)
        self.n_nonzero = min(check_count("PursuitConcepts", "n_nonzero", n_nonzero), most)
        self.backend = backend

    def encode(self, x: Tensor) -> Tensor:
        """Codes centred embeddings ``[B, M]``: ``[B, N]``, ``n_nonzero`` of each row not 0."""
        codes = omp(x, self.dictionary, self.n_nonzero, selection="ols", backend=self.backend).codes
        assert codes is not None
        return codes
