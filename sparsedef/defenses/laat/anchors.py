"""The kinds of anchors: expanded texts, and what they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sparsedef import lasso
from sparsedef.defenses.laat.expansion import AnchorExpansion, unit_features
from sparsedef.defenses.laat.texts import ClassTexts
from sparsedef.solvers.checks import check_choice


@dataclass(frozen=True)
class AnchorInputs:
    """All that an anchor may be made of.

    Args:
        texts: Features of all class names.
        seen: Names of the seen classes; nothing is fitted to any other.
        concepts: Features of phrases, for sparse anchors.
        alpha: Penalty of their codes; see ``sparse_anchors``.
        seed: Of anchors that are drawn.
    """

    texts: ClassTexts
    seen: tuple[str, ...]
    concepts: ClassTexts | None = None
    alpha: float = 0.1
    seed: int = 0


def make_anchors(kind: str, given: AnchorInputs, names: Sequence[str]) -> Tensor:
    """Makes the anchors of some classes, seen or unseen: unit rows ``[len(names), width]``.

    Args:
        kind: ``"expanded"`` (LAAT), ``"raw"`` (the texts themselves), ``"mmc"`` (as far apart as
            can be, without meaning), or ``"sparse"`` (codes of the texts over concepts).
        given: What they are made of.
        names: Of the classes.

    Raises:
        ValueError: The kind is unknown, or what it needs is missing.
    """
    check_choice("make_anchors", "kind", kind, tuple(ANCHORS))
    return ANCHORS[kind](given, names)


def expanded_anchors(given: AnchorInputs, names: Sequence[str]) -> Tensor:
    """Texts after the expansion that the seen classes define."""
    expansion = AnchorExpansion.fit(given.texts.of(given.seen))
    return expansion(given.texts.of(names)).float()


def raw_anchors(given: AnchorInputs, names: Sequence[str]) -> Tensor:
    """Texts as the encoder gave them, at norm 1."""
    return unit_features("raw_anchors", given.texts.of(names)).float()


def mmc_anchors(given: AnchorInputs, names: Sequence[str]) -> Tensor:
    """Corners of a regular simplex, one a class, turned at random: they mean nothing.

    Every two of them have the cosine ``-1 / (C - 1)``, the lowest that C directions can share.
    An unseen class has a corner too, but no image of it was ever drawn there.

    Source: the centres of the Max-Mahalanobis loss, Pang et al., 2020.
    """
    width, count = given.texts.features.shape[1], len(given.texts.names)
    if width < count:
        raise ValueError(
            f"mmc_anchors: features must be at least as wide as there are classes, got {width} for "
            f"{count}"
        )
    generator = torch.Generator().manual_seed(given.seed)
    turn, _ = torch.linalg.qr(torch.randn(width, count, generator=generator, dtype=torch.float64))
    corners = torch.eye(count, dtype=torch.float64) - 1 / count
    row = {name: i for i, name in enumerate(given.texts.names)}
    chosen = corners[[row[name] for name in names]]
    return functional.normalize(chosen @ turn.T, dim=1).float()


def sparse_anchors(given: AnchorInputs, names: Sequence[str]) -> Tensor:
    """Codes of the texts over a dictionary of concepts: each coordinate is a phrase.

    ``z = argmin 0.5 ||x - z D||^2 + alpha ||z||_1, z >= 0`` with ``x`` the text minus the mean of
    the seen texts and ``D`` the concepts minus the same, all of norm 1; the anchor is ``z`` at
    norm 1. So the network learns how much of which phrase an image shows. Not part of LAAT.

    Raises:
        ValueError: There are no concepts, or ``alpha`` leaves a class without any.
    """
    if given.concepts is None:
        raise ValueError("sparse_anchors: concepts must be given (features of phrases)")
    mean = unit_features("sparse_anchors", given.texts.of(given.seen)).mean(0)
    atoms = _centred(given.concepts.features, mean)
    codes = lasso(_centred(given.texts.of(names), mean), atoms, given.alpha, nonnegative=True).codes
    assert codes is not None
    empty = [name for name, code in zip(names, codes, strict=True) if not bool(code.any())]
    if empty:
        raise ValueError(
            f"sparse_anchors: alpha must leave every class a concept, but at {given.alpha:g} "
            f"{empty[0]!r} has none"
        )
    return functional.normalize(codes, dim=1).float()


def _centred(features: Tensor, mean: Tensor) -> Tensor:
    return functional.normalize(unit_features("sparse_anchors", features) - mean, dim=1)


ANCHORS: Mapping[str, Callable[[AnchorInputs, Sequence[str]], Tensor]] = {
    "expanded": expanded_anchors,
    "raw": raw_anchors,
    "mmc": mmc_anchors,
    "sparse": sparse_anchors,
}
