"""A dictionary whose atoms are embedded concepts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsedef.concepts.concept import ConceptList
from sparsedef.concepts.embedding import Encode, center_rows, distinct_atoms, embed


@dataclass(frozen=True, eq=False)
class Dictionary:
    """Unit atoms with the concepts that they stand for.

    Args:
        atoms: ``[N, M]``, rows of norm 1.
        texts: Of the N concepts, without the template.
        mean: What was taken off the normalised embeddings, ``[M]``; 0 if nothing was.
        template: What was embedded, with the concept in place of ``{}``.
        center: ``"none"`` or ``"text"``.
    """

    atoms: Tensor
    texts: tuple[str, ...]
    mean: Tensor
    template: str
    center: str

    def __len__(self) -> int:
        """Number of atoms N."""
        return len(self.texts)

    def take(self, rows: Sequence[int] | Tensor) -> Dictionary:
        """Keeps the atoms ``rows``, in that order, as they are; the mean stays that of all.

        Raises:
            TypeError: ``rows`` is a mask.
            IndexError: A row is not there.
        """
        if isinstance(rows, Tensor) and rows.dtype == torch.bool:
            raise TypeError(
                "Dictionary.take: rows must be numbers, got a mask (mask.nonzero()[:, 0])"
            )
        chosen = torch.as_tensor(rows, dtype=torch.int64, device=self.atoms.device)
        texts = tuple(self.texts[row] for row in chosen.tolist())
        return Dictionary(self.atoms[chosen], texts, self.mean, self.template, self.center)

    def distinct(self, similarity: float = 0.90) -> Dictionary:
        """Keeps of almost equal atoms the first; see :func:`distinct_atoms`."""
        return self.take(distinct_atoms(self.atoms, similarity))


def concept_dictionary(
    texts: ConceptList | Sequence[str],
    encode: Encode,
    *,
    template: str = "a photo of {}",
    center: str = "none",
) -> Dictionary:
    """Embeds concepts as the atoms of a dictionary.

    With t_j the embedding of concept j and u_j = t_j / ||t_j||, atom j is u_j for
    ``center="none"``, and (u_j - mean) / ||u_j - mean|| with mean = 1/N sum_j u_j for
    ``center="text"``.
    Texts of a CLIP lie in a narrow cone, so without centring all atoms are much alike.

    Args:
        texts: N concepts.
        encode: Texts to embeddings ``[N, M]``, of any norm; called once, without gradient.
        template: What is embedded, with the concept in place of ``{}``; ``"{}"`` for the bare
            concept.
        center: ``"none"`` or ``"text"``; then images want a mean of their own taken off.

    Returns:
        ``Dictionary`` on the device and in the dtype of the embeddings, half precision as float32.

    Raises:
        TypeError: ``encode`` gives no tensor of floating-point numbers.
        ValueError: No texts, an option is wrong, the embeddings are not ``[N, M]`` or not finite,
            or an atom has nothing left without the mean.

    Example:
        >>> vectors = {"a photo of round": [3.0, 4.0], "a photo of long": [0.0, 2.0]}
        >>> encode = lambda texts: torch.tensor([vectors[text] for text in texts])
        >>> concept_dictionary(["round", "long"], encode).atoms
        tensor([[0.6000, 0.8000],
                [0.0000, 1.0000]])

    Source: centring as in Bhalla, Oesterling, Srinivas, Calmon, Lakkaraju, Interpreting CLIP with
    sparse linear concept embeddings (SpLiCE), 2024, which embeds bare concepts.
    """
    who = "concept_dictionary"
    if isinstance(texts, str):
        raise TypeError(f"{who}: texts must be several concepts, got the text {texts!r}")
    names = texts.texts if isinstance(texts, ConceptList) else tuple(texts)
    if not names:
        raise ValueError(f"{who}: texts must hold a concept, got none")
    rows = embed(who, names, encode, template)
    atoms, mean = center_rows(who, rows, names, center)
    return Dictionary(atoms.contiguous(), names, mean, template, center)
