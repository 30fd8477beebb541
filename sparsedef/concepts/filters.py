"""Leaves out concepts that would spoil a dictionary, and says of each why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from sparsedef.concepts.concept import Concept, ConceptList
from sparsedef.concepts.embedding import (
    CENTERS,
    Encode,
    center_rows,
    check_similarity,
    embed,
    originals,
)
from sparsedef.concepts.wording import Phrases, context_words


@dataclass(frozen=True)
class Dropped:
    """A concept that was left out.

    Args:
        concept: As it was.
        reason: The filter, a colon, and what it saw.
    """

    concept: Concept
    reason: str


@dataclass(frozen=True)
class FilterResult:
    """What stayed, what went and why.

    Args:
        kept: In their order.
        dropped: Filter by filter, each in the order of the concepts.
        applied: Names of the filters that ran; those without their argument did not.
    """

    kept: ConceptList
    dropped: tuple[Dropped, ...]
    applied: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Number of concepts that each filter left out; 0 for one that ran and found none."""
        found = Counter(each.reason.split(":")[0] for each in self.dropped)
        return {name: found[name] for name in self.applied}

    def to_json(self) -> str:
        """Writes all of it as a JSON text."""
        dropped = [
            {
                "text": each.concept.text,
                "origin": each.concept.origin,
                "classes": list(each.concept.classes),
                "reason": each.reason,
            }
            for each in self.dropped
        ]
        kept = json.loads(self.kept.to_json())
        found = {"applied": list(self.applied), "kept": kept, "dropped": dropped}
        return json.dumps(found, indent=1, ensure_ascii=False)


def filter_concepts(
    concepts: ConceptList,
    class_names: Sequence[str],
    *,
    encode: Encode | None = None,
    context: Iterable[str] | None = None,
    max_length: int | None = 30,
    class_similarity: float | None = 0.85,
    duplicate_similarity: float | None = 0.90,
    template: str = "{}",
    center: str = "none",
) -> FilterResult:
    """Leaves out concepts that are too long, name a class, speak of context, or say it again.

    The filters, in their order; each sees what the ones before it kept:

    - ``length``: more than ``max_length`` characters.
    - ``class name``: equal to a class name or contains one, as whole words (also as parts of words
      with hyphens), whatever the case and a plural's s. A class name in the dictionary would turn
      the defense into zero-shot classification.
    - ``context``: contains a word or phrase of ``context``, as whole words.
    - ``class similarity``: cos to the embedding of a class name of at least ``class_similarity``.
    - ``duplicate``: absolute cosine of at least ``duplicate_similarity`` to a concept that was kept
      before it.

    Args:
        concepts: From any source.
        class_names: Of the classes; for names of several words that tell on their own ("striped
            star") pass the words too. Empty leaves out the two filters about them.
        encode: Texts to embeddings ``[n, M]``, of any norm; called once, with all texts. ``None``
            leaves out the two filters that need it.
        context: Words or phrases; ``None`` for :func:`context_words`, empty for no such filter.
        max_length: In characters; ``None`` for no such filter.
        class_similarity: In (0, 1]; ``None`` for no such filter.
        duplicate_similarity: In (0, 1]; ``None`` for no such filter.
        template: What is embedded, with the concept in place of ``{}``.
        center: ``"text"`` takes the mean of the embeddings that reach the filter off before
            duplicates are looked for, as a dictionary of ``center="text"`` does; CLIP's texts are
            all alike otherwise.

    Returns:
        ``FilterResult``: nothing is lost, ``kept`` and ``dropped`` together are ``concepts``.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: A range is wrong, or ``encode`` gives something else than it must.

    Example:
        >>> made = [Concept(text, "by hand") for text in ("two wings", "a big bird", "in the sky")]
        >>> result = filter_concepts(ConceptList(tuple(made)), ["bird"])
        >>> result.kept.texts, [each.reason for each in result.dropped]
        (('two wings',), ["class name: contains 'bird'", "context: contains 'sky'"])

    Source: length and thresholds as in the code of Oikarinen, Das, Nguyen, Weng, Label-free concept
    bottleneck models, 2023, which takes the cosine of two encoders' mean; the context filter is
    ours.
    """
    who = "filter_concepts"
    _check(who, concepts, max_length, center)
    for name, texts in (("class_names", class_names), ("context", context)):
        if isinstance(texts, str):
            raise TypeError(f"{who}: {name} must be several texts, got the one text {texts!r}")
    for name, value in (
        ("class_similarity", class_similarity),
        ("duplicate_similarity", duplicate_similarity),
    ):
        if value is not None:
            check_similarity(who, name, value)
    words = context_words() if context is None else tuple(context)
    sieve = _Sieve(list(concepts))
    if max_length is not None:
        sieve.drop("length", [_length_reason(each.text, max_length) for each in sieve.kept])
    if class_names:
        names = Phrases(class_names, splits_hyphens=True)
        sieve.drop("class name", [_word_reason(each.text, names) for each in sieve.kept])
    if words:
        spoken = Phrases(words, splits_hyphens=False)
        sieve.drop("context", [_word_reason(each.text, spoken) for each in sieve.kept])
    if encode is not None and sieve.kept:
        rows = _drop_near_classes(who, sieve, class_names, encode, template, class_similarity)
        if duplicate_similarity is not None:
            _drop_duplicates(who, sieve, rows, duplicate_similarity, center)
    return FilterResult(ConceptList(tuple(sieve.kept)), tuple(sieve.dropped), tuple(sieve.applied))


class _Sieve:
    """The concepts that are still there, and where the others went."""

    def __init__(self, concepts: list[Concept]) -> None:
        self.kept = concepts
        self.dropped: list[Dropped] = []
        self.applied: list[str] = []

    def drop(self, name: str, reasons: list[str | None]) -> list[int]:
        """Drops what has a reason; gives the rows that stay."""
        pairs = list(zip(self.kept, reasons, strict=True))
        self.applied.append(name)
        self.dropped += [Dropped(each, f"{name}: {why}") for each, why in pairs if why is not None]
        self.kept = [each for each, why in pairs if why is None]
        return [row for row, why in enumerate(reasons) if why is None]


def _drop_near_classes(
    who: str,
    sieve: _Sieve,
    class_names: Sequence[str],
    encode: Encode,
    template: str,
    similarity: float | None,
) -> Tensor:
    """Embeds all, drops what is too near a class; gives the unit rows of those that stay."""
    texts = [each.text for each in sieve.kept]
    if not class_names or similarity is None:
        return embed(who, texts, encode, template)
    vectors = embed(who, [*texts, *class_names], encode, template)
    rows, classes = vectors.split([len(texts), len(class_names)])
    best, which = (rows @ classes.mT).max(dim=1)
    reasons = [
        f"{cosine:.3f} to {class_names[row]!r}" if cosine >= similarity else None
        for cosine, row in zip(best.tolist(), which.tolist(), strict=True)
    ]
    return rows[sieve.drop("class similarity", reasons)]


def _drop_duplicates(who: str, sieve: _Sieve, rows: Tensor, similarity: float, center: str) -> None:
    texts = [each.text for each in sieve.kept]
    if len(texts) > 1:
        rows, _ = center_rows(who, rows, texts, center)
    first, cosines = originals(rows, similarity)
    reasons = [
        f"|cos| {cosines[row]:.3f} to {texts[other]!r}" if other != row else None
        for row, other in enumerate(first)
    ]
    sieve.drop("duplicate", reasons)


def _length_reason(text: str, max_length: int) -> str | None:
    return f"{len(text)} characters, at most {max_length}" if len(text) > max_length else None


def _word_reason(text: str, phrases: Phrases) -> str | None:
    found = phrases.find_in(text)
    return None if found is None else f"contains {found!r}"


def _check(who: str, concepts: object, max_length: int | None, center: str) -> None:
    if not isinstance(concepts, ConceptList):
        raise TypeError(
            f"{who}: concepts must be a ConceptList, got {type(concepts).__name__} "
            f"(ConceptList.joined(Concept(text, 'by hand') for text in texts) makes one)"
        )
    if max_length is not None and max_length < 1:
        raise ValueError(f"{who}: max_length must be at least 1 or None, got {max_length}")
    if center not in CENTERS:
        raise ValueError(f"{who}: center must be one of {CENTERS}, got {center!r}")
