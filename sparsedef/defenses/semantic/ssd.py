"""SSD, the sparse semantic defense: a LASSO code over concepts is read, its residual is not."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from sparsedef.clip import load_clip
from sparsedef.clip.small import CONCEPT_TEMPLATE
from sparsedef.concepts import concept_dictionary, load_concepts
from sparsedef.defenses.base import check_images
from sparsedef.defenses.semantic.inputs import check_embeddings
from sparsedef.defenses.semantic.shift import Shift, measure_shift
from sparsedef.defenses.semantic.sparse_concepts import SparseConcepts, keep_largest, refit
from sparsedef.defenses.semantic.words import Words
from sparsedef.solvers.checks import check_count
from sparsedef.solvers.lasso import lasso
from sparsedef.solvers.result import SparseCode, spread

if TYPE_CHECKING:
    from typing_extensions import Self

SHIPPED_SUPPORT = 4  # about as many phrases of the shipped list tell a shape and its fill


class SSD(SparseConcepts):
    """Splits an embedding into task-relevant concepts and a residual, and reads the concepts only.

    z = argmin_z 1/2 ||x - z @ dictionary||^2 + alpha ||z||_1 for the centred embedding x of norm 1,
    logits = z @ weight.T + bias. What no concept accounts for (weather, light, style) is meant to
    land in the residual x - z @ dictionary, which nothing reads. An edit a of x with D a = 0 leaves
    the code exactly as it was; how far others may move it, ``shift`` measures. An edit of the
    embedding acts on x through the norm 1 as well: the code of (x + a) / s, where D a = 0 and
    s = ||x + a||, is the code of x at the penalty s alpha, divided by s.

    Only the head is trained, on clean images. Keep class names and their synonyms out of the
    concepts, or this becomes zero-shot classification in disguise; drop near-duplicates.

    Args:
        encoder: Images ``[B, 3, H, W]`` in [0, 1] to embeddings ``[B, M]``.
        dictionary: Embedded concepts ``[N, M]``, any norms.
        n_classes: C.
        alpha: The penalty, absolute, above 0; ``None`` to have it chosen for ``target_support`` by
            ``fit_features``. An alpha relative to each image would let an attacker scale it.
        target_support: Nonzeros of the median clean code that alpha is chosen for; by default half
            of ``n_nonzero``, or of the most atoms that can be independent.
        n_nonzero: Keep at most so many codes per image, the largest. Not continuous where two
            codes change places; the others get no gradient.
        nonnegative: Demand z >= 0, as SpLiCE does.
        debias: Fit the kept codes anew by least squares, without the penalty; signs may change.
        tol: Of the LASSO; see ``sparsedef.lasso``.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.
        options: ``names``, ``visible``, ``center``, ``standardise`` of ``ConceptClassifier``.

    Raises:
        ValueError: A setting is out of range, or the dictionary does not fit.

    Example:
        >>> encoder = nn.Flatten()  # an embedding of 2 x 2 RGB images
        >>> ssd = SSD(encoder, torch.eye(12), 2, alpha=0.1, center="none")
        >>> images = torch.rand(40, 3, 2, 2)
        >>> labels = (images[:, 0, 0, 0] > 0.5).long()
        >>> fit = ssd.fit_head(encoder(images), labels)
        >>> ssd(images).shape, ssd.explain(images)[0].names[0]
        (torch.Size([40, 2]), 'atom 0')

    Source: sparse semantic defense, OpenReview nCP9kyST95, ICLR 2026 submission 4860 (abstract and
    public reviews; centring, scaling and choice of alpha are not public, and are this library's);
    nonnegative codes, Bhalla et al., 2024.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (
        *SparseConcepts.SETTINGS, "alpha", "target_support", "n_nonzero", "nonnegative", "debias",
        "tol",
    )  # fmt: skip

    def __init__(
        self,
        encoder: nn.Module,
        dictionary: Tensor,
        n_classes: int,
        *,
        alpha: float | None = None,
        target_support: int | None = None,
        n_nonzero: int | None = None,
        nonnegative: bool = False,
        debias: bool = False,
        tol: float | None = None,
        backend: str = "auto",
        **options: Any,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(encoder, dictionary, n_classes, **options)
        if alpha is not None and not 0 < alpha < math.inf:
            raise ValueError(f"SSD: alpha must be above 0, got {alpha}")
        if n_nonzero is not None:
            n_nonzero = check_count("SSD", "n_nonzero", n_nonzero)
        self.alpha = alpha
        self.n_nonzero = n_nonzero
        self.target_support = self._check_target(target_support)
        self.nonnegative = nonnegative
        self.debias = debias
        self.tol = tol
        self.backend = backend

    @classmethod
    def fit(
        cls,
        classifier: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int = 0,
        concepts: Sequence[str] = (),
        dictionary: Tensor | None = None,
        words: Words | None = None,
        **options: Any,
    ) -> Self:
        """Embeds clean training images and fits to them; see ``from_embeddings``.

        An encoder of images and texts needs ``concepts``, any other encoder ``dictionary`` or
        ``words``. A classifier that comes with none of these cannot be read by concepts: then,
        with a warning, the small CLIP that is shipped takes its place with the concepts of
        ShapeWorld, which makes sense for images of that world only.

        Args:
            classifier: The encoder, or a classifier whose place is taken.
            images: Clean training images ``[B, 3, H, W]`` in [0, 1].
            labels: Their classes, ``[B]`` int64.
            seed: Of what is drawn.
            concepts: See ``EmbeddingClassifier.fit``.
            dictionary: See ``EmbeddingClassifier.fit``.
            words: See ``EmbeddingClassifier.fit``.
            options: Of ``from_embeddings``.

        Raises:
            ImportError: The small CLIP is needed and open_clip is not installed.
        """
        is_told = bool(concepts) or dictionary is not None or words is not None
        if not is_told and not hasattr(classifier, "text"):
            check_images(cls.__name__, images)
            with torch.no_grad():
                options.setdefault("n_classes", classifier(images[:1]).shape[1])
            options.setdefault("target_support", SHIPPED_SUPPORT)
            classifier, words = _shipped(cls.__name__)
        return super().fit(
            classifier, images, labels, seed=seed, concepts=concepts, dictionary=dictionary,
            words=words, **options,
        )  # fmt: skip

    def fit_features(self, embeddings: Tensor) -> None:
        """Takes the mean of clean training embeddings ``[n, M]``, and alpha if there is none."""
        super().fit_features(embeddings)
        if self.alpha is None:
            self.choose_alpha(embeddings)

    def choose_alpha(
        self, embeddings: Tensor, target_support: int | None = None, *, most: int = 2000
    ) -> float:
        """Chooses the alpha at which the median clean embedding has ``target_support`` nonzeros.

        Each embedding's own alpha for that support is found (``lasso(target_l0=...)``); the median
        of them is taken. No label is looked at, and attacked images must not be. The head must be
        fitted afterwards.

        Args:
            embeddings: Clean, ``[n, M]``.
            target_support: By default that of the constructor.
            most: Embeddings looked at, evenly spaced among those given.

        Returns:
            The new ``alpha``.
        """
        check_embeddings("SSD", embeddings, len(self.image_mean))
        self._check_ready()
        target = self._check_target(target_support)
        target = self.target_support if target is None else target
        if target is None:
            most_atoms = min(self.dictionary.shape)
            target = max(1, min(self.n_nonzero or most_atoms, most_atoms) // 2)
        rows = torch.linspace(0, len(embeddings) - 1, min(most, len(embeddings))).long()
        chosen = embeddings[rows.to(embeddings.device)].to(self.bias.device)
        with torch.no_grad():
            code = lasso(
                self.centre(chosen), self.dictionary, target_l0=target, layout="compact",
                nonnegative=self.nonnegative, backend=self.backend,
            )  # fmt: skip
        assert code.alpha is not None
        return self._take_alpha(float(code.alpha.median()), "no clean embedding has any")

    def leak(self, clean: Tensor, edited: Tensor) -> Tensor:
        """What an edit of embeddings ``[B, M]`` shows any one atom: ||D (x' - x)||_inf, ``[B]``."""
        with torch.no_grad():
            edit = self.centre(edited) - self.centre(clean)
            return (edit @ self.dictionary.mT).abs().amax(dim=1)

    def choose_alpha_above_leak(
        self, clean: Tensor, edited: Tensor, *, quantile: float = 0.5, factor: float = 1.0
    ) -> float:
        """Chooses alpha just above what edits show to any one atom.

        An atom that an edit alone would have to switch on then stays off. This looks at edits: take
        edits of training images, of other kinds than those it will be tested with, or say so
        beside the figures. The head must be fitted afterwards.

        Args:
            clean: Embeddings ``[n, M]``.
            edited: Of the same images after a class-preserving edit.
            quantile: Of the leaks.
            factor: What it is multiplied by.

        Returns:
            The new ``alpha``.
        """
        for embeddings in (clean, edited):
            check_embeddings("SSD", embeddings, len(self.image_mean))
        self._check_ready()
        if not 0 <= quantile <= 1 or not factor > 0:
            raise ValueError(
                f"SSD: quantile must lie in [0, 1] and factor be above 0, got {quantile}, {factor}"
            )
        leaks = self.leak(clean.to(self.bias.device), edited.to(self.bias.device))
        return self._take_alpha(factor * float(leaks.quantile(quantile)), "the edits leak nothing")

    def sparse_code(self, x: Tensor) -> SparseCode:
        """Codes centred embeddings ``[B, M]``, capped and fitted anew if so set.

        Returns:
            Dense codes ``[B, N]`` and their residual; ``gap`` is that of the LASSO before cap and
            refit.
        """
        code = self._lasso(x, layout="compact")
        assert code.indices is not None
        assert code.values is not None
        indices, values = code.indices, code.values
        if self.n_nonzero is not None:
            indices, values = keep_largest(indices, values, self.n_nonzero)
        if self.debias:
            values = refit(x, self.dictionary, indices, values)
        codes = spread(indices, values, code.status, len(self.dictionary))
        return code._replace(
            codes=codes, indices=None, values=None, residual=self.residual(x, codes)
        )

    def encode(self, x: Tensor) -> Tensor:
        """Codes centred embeddings ``[B, M]``: ``[B, N]``."""
        codes = self.sparse_code(x).codes
        assert codes is not None
        return codes

    @torch.no_grad()
    def shift(self, clean: Tensor, attacked: Tensor) -> Shift:
        """Measures an attack on embeddings ``[B, M]``, with the bounds of theory; see ``Shift``.

        Codes here are the LASSO's, before cap and refit: to these the bounds apply.
        """
        x, moved = self.centre(clean), self.centre(attacked)
        codes, moved_codes = (self._lasso(each, layout="dense").codes for each in (x, moved))
        assert codes is not None
        assert moved_codes is not None
        return measure_shift(self.dictionary, x, moved, codes, moved_codes, is_lasso=True)

    def _lasso(self, x: Tensor, layout: str) -> SparseCode:
        if self.alpha is None:
            raise ValueError("SSD: alpha must be known (call fit_features or choose_alpha)")
        return lasso(
            x, self.dictionary, self.alpha, nonnegative=self.nonnegative, tol=self.tol,
            layout=layout, gradient="auto", backend=self.backend,
        )  # fmt: skip

    def _check_target(self, target: int | None) -> int | None:
        if target is None:
            return None
        most = min(self.dictionary.shape)
        if check_count("SSD", "target_support", target) > most:
            raise ValueError(
                f"SSD: target_support must be at most {most}, the atoms that can be independent,"
                f" got {target}"
            )
        return target

    def _take_alpha(self, alpha: float, otherwise: str) -> float:
        if not alpha > 0:
            raise ValueError(f"SSD: alpha must be above 0, got {alpha} ({otherwise})")
        self.alpha = alpha
        self.is_fitted = False
        return alpha


def _shipped(who: str) -> tuple[nn.Module, Words]:
    """The small CLIP, and ShapeWorld's concepts without near-copies."""
    warnings.warn(
        f"{who}: no concepts were given and the classifier embeds no texts: the shipped small CLIP "
        f"takes its place, which knows drawn shapes only (pass an encoder with concepts=...)",
        stacklevel=3,
    )
    encoder = load_clip()
    texts, template = load_concepts("shapeworld").texts, CONCEPT_TEMPLATE
    kept = concept_dictionary(texts, encoder.text, template=template, center="text").distinct()
    return encoder, Words.embed(encoder, kept.texts, template=template)
