"""Finds mistakes in embeddings, labels and atoms before anything is fitted to them."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.clip import unit
from sparsedef.solvers.checks import check_dictionary, check_tensor

CENTERS = ("none", "text", "image", "both")


def check_embeddings(who: str, embeddings: object, width: int | None = None) -> Tensor:
    """Demands finite embeddings ``[n, M]``, at least one."""
    found = check_tensor(who, "embeddings", embeddings)
    wanted = "M" if width is None else str(width)
    if found.ndim != 2 or 0 in found.shape or (width is not None and found.shape[1] != width):
        raise ValueError(
            f"{who}: embeddings must be [n, {wanted}] with n >= 1, got {list(found.shape)}"
        )
    if not found.isfinite().all():
        rows = (~found.isfinite().all(dim=1)).nonzero()[:, 0].tolist()
        raise ValueError(
            f"{who}: embeddings must be finite, got NaN or infinity in rows {rows[:5]}"
        )
    return found


def check_labels(who: str, embeddings: Tensor, labels: object, n_classes: int | None) -> None:
    """Demands int64 labels ``[n]``, each from 0 to ``n_classes`` - 1."""
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64:
        got = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"{who}: labels must be an int64 tensor, got {got} (labels.long())")
    if labels.shape != embeddings.shape[:1]:
        raise ValueError(
            f"{who}: labels must be [{len(embeddings)}] to match embeddings, got"
            f" {list(labels.shape)}"
        )
    most = int(labels.max())
    if int(labels.min()) < 0 or (n_classes is not None and most >= n_classes):
        bound = "" if n_classes is None else f" and below {n_classes}"
        raise ValueError(
            f"{who}: labels must be at least 0{bound}, got {int(labels.min())} to {most}"
        )


def make_atoms(who: str, vectors: Tensor, *, is_centred: bool) -> Tensor:
    """Makes atoms of norm 1 of embedded texts ``[N, M]``; their mean is subtracted if asked.

    Raises:
        ValueError: A text embeds to 0, or to the mean.
    """
    check_dictionary(who, check_tensor(who, "dictionary", vectors))
    atoms = unit(vectors.detach())
    if is_centred:
        atoms = atoms - atoms.mean(dim=0)
    norms = atoms.norm(dim=1)
    if norms.min() < 1e-5:
        rows = (norms < 1e-5).nonzero()[:, 0].tolist()
        wanted = "atoms other than 0"
        if is_centred:
            wanted = "atoms that differ from their mean (center='image' leaves them as they are)"
        raise ValueError(f"{who}: dictionary must have {wanted}, got atoms {rows[:5]}")
    return unit(atoms).clone()
