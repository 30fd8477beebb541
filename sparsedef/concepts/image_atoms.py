"""Atoms that are means of image embeddings instead of embedded texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sparsedef.concepts.concept import ConceptList
from sparsedef.concepts.embedding import unit_rows
from sparsedef.solvers.checks import HALF, check_tensor


def class_membership(concepts: ConceptList, class_names: Sequence[str]) -> Tensor:
    """Says which concept was said of which class, ``[C, N]`` bool.

    ``class_membership(concepts, names)[labels]`` is the ``[B, N]`` that :func:`image_atoms` takes.

    Args:
        concepts: N concepts.
        class_names: C names, in the order of the labels.

    Raises:
        ValueError: A concept was said of no class in ``class_names``.

    Example:
        >>> from sparsedef.concepts import Concept
        >>> legs = Concept("four legs", "by hand", ("cat", "dog"))
        >>> class_membership(ConceptList((legs,)), ["bird", "cat"]).tolist()
        [[False], [True]]
    """
    rows = [[name in each.classes for each in concepts] for name in class_names]
    found = torch.tensor(rows, dtype=torch.bool).reshape(len(class_names), len(concepts))
    bare = (~found.any(dim=0)).nonzero()[:, 0].tolist()
    if bare:
        raise ValueError(
            f"class_membership: each concept must name one of the classes {list(class_names)[:3]}, "
            f"{len(bare)} do not: {concepts[bare[0]].text!r} names {concepts[bare[0]].classes}"
        )
    return found


def image_atoms(embeddings: Tensor, membership: Tensor) -> Tensor:
    """Makes an atom of each group of images: the direction of their mean.

    With u_i = e_i / ||e_i||, atom j is the mean of u_i over the images of group j, scaled to
    norm 1. Such atoms lie where images lie, which atoms of texts do not. To centre them, give
    embeddings without their mean.

    Args:
        embeddings: Of B images, ``[B, M]``, of any norm; half precision is taken as float32.
        membership: Labels ``[B]`` (integers from 0; N is the largest plus 1), or which image is in
            which group, ``[B, N]`` bool.

    Returns:
        Atoms ``[N, M]``, rows of norm 1, on the device and in the dtype of ``embeddings``.

    Raises:
        TypeError: A dtype is wrong.
        ValueError: The shapes do not fit, an embedding is not finite or 0, a group has no image,
            or the mean of one is 0.

    Gradients: for ``embeddings``.

    Example:
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, -3.0]])
        >>> image_atoms(embeddings, torch.tensor([0, 0, 1]))
        tensor([[ 0.7071,  0.7071],
                [ 0.0000, -1.0000]])

    Source: the averaged atoms of HCEP (Nguyen, Ding, Vidal, arXiv 2602.11448), per concept;
    without its hierarchy.
    """
    who = "image_atoms"
    vectors = check_tensor(who, "embeddings", embeddings)
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise ValueError(f"{who}: embeddings must be [B, M], got {list(vectors.shape)}")
    groups = _groups(who, membership, len(vectors)).to(vectors.device)
    counts = groups.sum(dim=0)
    if not counts.all():
        empty = (counts == 0).nonzero()[:, 0].tolist()
        raise ValueError(
            f"{who}: each group must have an image, {len(empty)} of {len(counts)} have none: "
            f"{empty[:5]}"
        )
    vectors = vectors.float() if vectors.dtype in HALF else vectors
    units = unit_rows(f"{who}: embeddings", vectors, [f"row {i}" for i in range(len(vectors))])
    means = (groups.mT.to(units) @ units) / counts[:, None].to(units)
    return unit_rows(f"{who}: means", means, [f"group {j}" for j in range(len(means))])


def _groups(who: str, membership: object, n_images: int) -> Tensor:
    """Which image is in which group, ``[B, N]`` bool."""
    if not isinstance(membership, Tensor):
        raise TypeError(
            f"{who}: membership must be a torch.Tensor, got {type(membership).__name__}"
        )
    is_bool = membership.dtype == torch.bool
    wanted = "[B, N] bool or labels [B] of integers"
    if membership.is_floating_point() or membership.is_complex():
        raise TypeError(f"{who}: membership must be {wanted}, got {membership.dtype}")
    if membership.ndim != (2 if is_bool else 1) or len(membership) != n_images:
        raise ValueError(
            f"{who}: membership must be {wanted} for {n_images} images, got "
            f"{list(membership.shape)} {membership.dtype}"
        )
    if is_bool:
        return membership
    if int(membership.min()) < 0:
        raise ValueError(f"{who}: labels must be at least 0, got {int(membership.min())}")
    n_groups = int(membership.max()) + 1
    return membership[:, None] == torch.arange(n_groups, device=membership.device)
