"""Classifiers that see an image as amounts of named concepts, and can say which ones counted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from sparsedef.clip import unit
from sparsedef.defenses.base import check_images
from sparsedef.defenses.semantic.embedding import EmbeddingClassifier
from sparsedef.defenses.semantic.explanation import Comparison, Explanation, explain_rows
from sparsedef.defenses.semantic.inputs import make_atoms
from sparsedef.defenses.semantic.shift import Shift, measure_shift
from sparsedef.defenses.semantic.words import Words
from sparsedef.solvers.checks import check_choice

if TYPE_CHECKING:
    from typing_extensions import Self

ATOMS = ("concepts", "all", "random")
SEES = ("all", "concepts")


class ConceptClassifier(EmbeddingClassifier):
    """Codes the centred embedding over concept atoms, and reads the code linearly.

    A subclass says how it codes (``encode``).

    Args:
        encoder: Images to embeddings ``[B, M]``.
        dictionary: Embedded concepts, ``[N, M]``, any norms; kept with norm 1, and centred by their
            mean where ``center`` is ``"text"`` or ``"both"``.
        n_classes: C.
        names: Of the atoms; empty for "atom 0" and so on.
        visible: Which atoms the head sees, ``[N]`` bool; by default all.
        center: See ``EmbeddingClassifier``. For atoms that are centred already, ``"image"``.
        standardise: See ``EmbeddingClassifier``.

    Raises:
        ValueError: The dictionary, the names or the mask do not fit.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (*EmbeddingClassifier.SETTINGS, "names")

    dictionary: Tensor
    visible: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        dictionary: Tensor,
        n_classes: int,
        *,
        names: Sequence[str] = (),
        visible: Tensor | None = None,
        center: str = "both",
        standardise: str = "whole",
    ) -> None:
        """Checks and keeps the settings; see the class."""
        who = type(self).__name__
        atoms = make_atoms(who, dictionary, is_centred=center in ("text", "both"))
        if names and len(names) != len(atoms):
            raise ValueError(f"{who}: names must be {len(atoms)}, one per atom, got {len(names)}")
        if visible is None:
            visible = torch.ones(len(atoms), dtype=torch.bool, device=atoms.device)
        if visible.shape != (len(atoms),) or visible.dtype != torch.bool or not visible.any():
            raise ValueError(
                f"{who}: visible must be [{len(atoms)}] bool with at least one true, got"
                f" {visible.dtype} {list(visible.shape)}"
            )
        seen = visible.nonzero()[:, 0]
        super().__init__(
            encoder, n_classes, len(seen), atoms.shape[1], center=center, standardise=standardise
        )
        self.names = tuple(names) or tuple(f"atom {i}" for i in range(len(atoms)))
        self.register_buffer("dictionary", atoms)
        self.register_buffer("visible", seen)
        self.keep_as(atoms, atoms.device)

    @classmethod
    def of_words(
        cls,
        encoder: nn.Module,
        words: Words,
        width: int,
        n_classes: int,
        seed: int,
        *,
        atoms: str = "concepts",
        sees: str = "all",
        **options: Any,
    ) -> Self:
        """Builds one that is not fitted yet.

        Args:
            encoder: Images to embeddings.
            words: With ``concepts``, and ``nuisances`` if ``atoms="all"``.
            width: M.
            n_classes: C.
            seed: Of random atoms.
            atoms: ``"concepts"``; ``"all"`` for concepts and nuisances; ``"random"`` for as many
                directions drawn at random as there are concepts.
            sees: Whether the head sees ``"all"`` atoms or those of ``"concepts"`` only.
            options: Of the constructor.
        """
        who = cls.__name__
        check_choice(who, "atoms", atoms, ATOMS)
        check_choice(who, "sees", sees, SEES)
        concepts = words.need(who, "concepts")
        names = words.names
        dictionary, visible = concepts, None
        if atoms == "random":
            generator = torch.Generator().manual_seed(seed)
            drawn = torch.randn(concepts.shape, generator=generator, dtype=torch.float64)
            dictionary, names = unit(drawn).to(concepts), ()
        elif atoms == "all":
            nuisances = words.need(who, "nuisances")
            dictionary = torch.cat([concepts, nuisances.to(concepts)])
            names = (*names, *words.nuisance_names) if names and words.nuisance_names else ()
            if sees == "concepts":
                visible = torch.arange(len(dictionary), device=concepts.device) < len(concepts)
        return cls(encoder, dictionary, n_classes, names=names, visible=visible, **options)

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Codes centred embeddings ``[B, M]``: ``[B, N]``; differentiable."""

    def features(self, x: Tensor) -> Tensor:
        """The part of the code that the head sees, ``[B, F]``."""
        return self.encode(x)[:, self.visible]

    def residual(self, x: Tensor, codes: Tensor) -> Tensor:
        """What the code leaves of centred embeddings: x - codes @ dictionary, ``[B, M]``."""
        return x - codes @ self.dictionary

    @property
    def head_weight(self) -> Tensor:
        """The head's weight of every atom, ``[C, N]``; 0 for those that it does not see."""
        weight = self.weight.new_zeros(self.n_classes, len(self.dictionary))
        weight[:, self.visible] = self.weight
        return weight

    def code(self, images: Tensor) -> Tensor:
        """Codes images ``[B, 3, H, W]``: ``[B, N]``; logits are ``code @ head_weight.T + bias``."""
        return self.encode(self.centre(self.embed(images)))

    def correlations(self, images: Tensor) -> Tensor:
        """Correlates what the code of images leaves with every atom, ``[B, N]``; differentiable.

        For a LASSO code, atoms in use are at alpha exactly and others below it; how far below tells
        an attack on the code which of them are about to appear.
        """
        x = self.centre(self.embed(images))
        return self.residual(x, self.encode(x)) @ self.dictionary.mT

    @torch.no_grad()
    def explain(
        self, images: Tensor, *, pairs: Sequence[tuple[int, int]] | None = None
    ) -> list[Explanation]:
        """Says for each image ``[B, 3, H, W]`` which concepts spoke for its class, and how loudly.

        Args:
            images: In [0, 1].
            pairs: For each image the class to explain and the one to compare it with; by default
                the winner and the runner-up.
        """
        check_images(type(self).__name__, images)
        return self.explain_embeddings(self.embed(images), pairs=pairs)

    @torch.no_grad()
    def explain_embeddings(
        self, embeddings: Tensor, *, pairs: Sequence[tuple[int, int]] | None = None
    ) -> list[Explanation]:
        """As ``explain``, of embeddings ``[B, M]``."""
        logits = self.classify(embeddings)
        x = self.centre(embeddings)
        codes = self.encode(x)
        left = self.residual(x, codes).norm(dim=1) / x.norm(dim=1)
        return explain_rows(codes, logits, self.head_weight, self.bias, left, self.names, pairs)

    @torch.no_grad()
    def compare(self, clean: Tensor, attacked: Tensor) -> list[Comparison]:
        """Says for each pair of images what an attack changed, concept by concept.

        Both are explained by the same two classes: the one the clean image wins, and the one the
        attacked image wins (the clean runner-up if that is the same).

        Args:
            clean: Images ``[B, 3, H, W]`` in [0, 1].
            attacked: The same images after the attack.
        """
        for images in (clean, attacked):
            check_images(type(self).__name__, images)
        return self.compare_embeddings(self.embed(clean), self.embed(attacked))

    @torch.no_grad()
    def compare_embeddings(self, clean: Tensor, attacked: Tensor) -> list[Comparison]:
        """As ``compare``, of embeddings ``[B, M]``."""
        before = self.explain_embeddings(clean)
        after = self.explain_embeddings(attacked)
        pairs = [
            (one.label, other.label if other.label != one.label else one.rival)
            for one, other in zip(before, after, strict=True)
        ]
        shift = self.shift(clean, attacked)
        return [
            Comparison(one, other, each)
            for one, other, each in zip(
                self.explain_embeddings(clean, pairs=pairs),
                self.explain_embeddings(attacked, pairs=pairs),
                shift.rows(),
                strict=True,
            )
        ]

    @torch.no_grad()
    def shift(self, clean: Tensor, attacked: Tensor) -> Shift:
        """Measures how far an attack moved embeddings ``[B, M]`` and codes; see ``Shift``."""
        x, moved = self.centre(clean), self.centre(attacked)
        return measure_shift(self.dictionary, x, moved, self.encode(x), self.encode(moved))
