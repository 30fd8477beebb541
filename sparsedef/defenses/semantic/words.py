"""The texts that semantic classifiers are told of, embedded once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Words:
    """Embedded texts: task-relevant concepts, nuisances, prompts of the classes.

    A classifier takes of them what it needs and complains about what is missing.

    Args:
        concepts: Of what the classes are told apart by, ``[N, M]``; any norms.
        names: What they are called in explanations, N of them (empty: "atom 0" and so on).
        nuisances: Of what may change without changing the class (weather, light), ``[n, M]``.
        nuisance_names: What they are called.
        prompts: One for each class, ``[C, M]``.

    Raises:
        ValueError: Shapes or numbers of names do not fit.
    """

    concepts: Tensor | None = None
    names: tuple[str, ...] = ()
    nuisances: Tensor | None = None
    nuisance_names: tuple[str, ...] = ()
    prompts: Tensor | None = None

    def __post_init__(self) -> None:
        """Checks the shapes."""
        found = {"concepts": self.concepts, "nuisances": self.nuisances, "prompts": self.prompts}
        given = {name: value for name, value in found.items() if value is not None}
        for name, value in given.items():
            if value.ndim != 2 or 0 in value.shape:
                raise ValueError(f"Words: {name} must be [N, M], got {list(value.shape)}")
        if len({value.shape[1] for value in given.values()}) > 1:
            shapes = {name: list(value.shape) for name, value in given.items()}
            raise ValueError(f"Words: all must be embeddings of one length M, got {shapes}")
        for name, texts, vectors in [
            ("names", self.names, self.concepts),
            ("nuisance_names", self.nuisance_names, self.nuisances),
        ]:
            count = 0 if vectors is None else len(vectors)
            if texts and len(texts) != count:
                raise ValueError(f"Words: {name} must be {count}, got {len(texts)}")

    @classmethod
    def embed(
        cls,
        encoder: nn.Module,
        concepts: Sequence[str] = (),
        nuisances: Sequence[str] = (),
        prompts: Sequence[str] = (),
        *,
        template: str = "a photo of {}",
    ) -> Words:
        """Embeds texts with ``encoder.text``.

        Args:
            encoder: A ``ClipEncoder`` or anything with its ``text``.
            concepts: Without their template, as an explanation should name them.
            nuisances: Whole texts.
            prompts: Whole texts, one for each class in order.
            template: What a concept is put into, with one ``{}``.

        Raises:
            ValueError: The template has no ``{}``, or ``concepts`` is one text.
        """
        if "{}" not in template:
            raise ValueError(f"Words: template must have one {{}}, got {template!r}")
        for name, texts in [("concepts", concepts), ("nuisances", nuisances), ("prompts", prompts)]:
            if isinstance(texts, str):
                raise ValueError(f"Words: {name} must be a list of texts, got {texts!r}")
        return cls(
            _embed(encoder, [template.replace("{}", each) for each in concepts]),
            tuple(concepts),
            _embed(encoder, nuisances),
            tuple(nuisances),
            _embed(encoder, prompts),
        )

    def need(self, who: str, name: str) -> Tensor:
        """Gives ``concepts``, ``nuisances`` or ``prompts``.

        Raises:
            ValueError: There are none.
        """
        value: Tensor | None = getattr(self, name)
        if value is None:
            raise ValueError(
                f"{who}: words must have {name}, got none (Words.embed(encoder, {name}=[...]))"
            )
        return value


def _embed(encoder: nn.Module, texts: Sequence[str]) -> Tensor | None:
    if not texts:
        return None
    tower: Any = encoder
    with torch.no_grad():
        found: Tensor = tower.text(list(texts))
    return found.detach()
