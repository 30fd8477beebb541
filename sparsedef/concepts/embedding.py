"""Texts as unit vectors, and which of them are almost the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sparsedef.solvers.checks import HALF, check_dictionary, check_tensor

Encode = Callable[[Sequence[str]], Tensor]
CENTERS = ("none", "text")
BLOCK = 512  # rows of cosines at once


def embed(who: str, texts: Sequence[str], encode: Encode, template: str) -> Tensor:
    """Embeds ``texts`` in ``template`` with one call of ``encode``: unit rows ``[n, M]``.

    Raises:
        TypeError: ``encode`` gives no tensor of floating-point numbers.
        ValueError: ``template`` has no ``{}``, or the embeddings are not ``[n, M]``, finite and
            different from 0.
    """
    if template.count("{}") != 1:
        raise ValueError(
            f"{who}: template must have one {{}} where the concept goes, got {template!r}"
        )
    with torch.no_grad():
        found = encode([template.replace("{}", text) for text in texts])
    vectors = check_tensor(who, "what encode gives", found).detach()
    if vectors.ndim != 2 or vectors.shape[0] != len(texts) or vectors.shape[1] == 0:
        raise ValueError(
            f"{who}: encode must give [{len(texts)}, M] for {len(texts)} texts, got "
            f"{list(vectors.shape)}"
        )
    return unit_rows(who, vectors.float() if vectors.dtype in HALF else vectors, texts)


def unit_rows(who: str, vectors: Tensor, names: Sequence[str]) -> Tensor:
    """Scales rows ``[n, M]`` to norm 1; ``names`` are those of the rows, for messages.

    Raises:
        ValueError: A row is not finite, or shorter than 1e-6.
    """
    norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    # False for NaN
    is_good = (norms[:, 0] > 1e-6) & norms[:, 0].isfinite()
    if not is_good.all():
        bad = [names[row] for row in (~is_good).nonzero()[:, 0].tolist()]
        raise ValueError(
            f"{who}: vectors must be finite and different from 0, {len(bad)} are not: {bad[:3]}"
        )
    return vectors / norms


def center_rows(who: str, rows: Tensor, names: Sequence[str], center: str) -> tuple[Tensor, Tensor]:
    """Takes the mean of unit rows off and scales to norm 1 again; gives the mean ``[M]`` too.

    With ``center="none"`` the rows stay and the mean given is 0.
    """
    if center not in CENTERS:
        raise ValueError(f"{who}: center must be one of {CENTERS}, got {center!r}")
    if center == "none":
        return rows, torch.zeros_like(rows[0])
    mean = rows.mean(dim=0)
    return unit_rows(f"{who}: without their mean", rows - mean, names), mean


def originals(atoms: Tensor, similarity: float) -> tuple[list[int], list[float]]:
    """Goes through unit rows ``[N, M]`` in order and keeps those that are like none kept before.

    Returns:
        For each row the kept row that it is most like, itself if it is kept; and the absolute
        cosine of the two.
    """
    n = len(atoms)
    is_kept = torch.zeros(n, dtype=torch.bool, device=atoms.device)
    found, cosines = list(range(n)), [1.0] * n
    for start in range(0, n, BLOCK):
        block = (atoms[start : start + BLOCK] @ atoms.mT).abs()
        for row, like in enumerate(block, start=start):
            best, where = like[:row].where(is_kept[:row], -1.0).max(dim=0) if row else (-1.0, 0)
            if float(best) >= similarity:
                found[row], cosines[row] = int(where), float(best)
            else:
                is_kept[row] = True
    return found, cosines


def distinct_atoms(atoms: Tensor, similarity: float = 0.90) -> Tensor:
    """Picks atoms so that no two are almost the same: of each such group the first.

    In order, an atom is left out if its absolute cosine to one kept before is at least
    ``similarity``; after that no pair is that alike. A dictionary of many near copies has few
    directions, and the sparse code spreads over the copies as it likes.

    Args:
        atoms: Unit rows, ``[N, M]``.
        similarity: In (0, 1].

    Returns:
        Rows that are kept, ascending, int64.

    Raises:
        TypeError: ``atoms`` is no tensor of floating-point numbers.
        ValueError: A shape or range is wrong, or an atom's norm is not 1 (to 1e-3).

    Example:
        >>> atoms = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
        >>> distinct_atoms(atoms).tolist()
        [0, 2]
    """
    who = "distinct_atoms"
    check_unit_rows(who, "atoms", atoms)
    check_similarity(who, "similarity", similarity)
    found, _ = originals(atoms.detach(), similarity)
    return torch.tensor([row for row, first in enumerate(found) if row == first])


def check_similarity(who: str, name: str, value: float) -> None:
    """Demands a number in (0, 1]."""
    if not 0 < value <= 1:
        raise ValueError(f"{who}: {name} must be above 0 and at most 1, got {value}")


def check_unit_rows(who: str, name: str, rows: object) -> Tensor:
    """Demands finite ``[N, M]`` with rows of norm 1 (to 1e-3)."""
    found = check_tensor(who, name, rows)
    check_dictionary(who, found)
    norms = torch.linalg.vector_norm(found.detach(), dim=1)
    if not ((norms - 1).abs() <= 1e-3).all():
        raise ValueError(
            f"{who}: {name} must have rows of norm 1, got norms from {float(norms.min()):.4g} to "
            f"{float(norms.max()):.4g} (torch.nn.functional.normalize makes them so)"
        )
    return found
