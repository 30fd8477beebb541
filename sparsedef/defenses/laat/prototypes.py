"""Anchors from a few images of each class, alone or blended with texts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sparsedef.solvers.checks import check_count

TEXT_WEIGHT = 2.0  # that the published code suggests


def class_means(features: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Averages the unit features of each class, and scales the means to norm 1.

    Args:
        features: Of support images, ``[B, M]``, of any norms.
        labels: Their classes, ``[B]`` int64, each of ``n_classes`` at least once.
        n_classes: C.

    Returns:
        ``[C, M]``; differentiable.

    Raises:
        ValueError: A class has no image.

    Example:
        >>> class_means(torch.tensor([[3.0, 0.0], [0.0, 2.0]]), torch.tensor([1, 0]), 2).tolist()
        [[0.0, 1.0], [1.0, 0.0]]

    Source: Snell, Swersky, Zemel, 2017; normalised, as cosine heads need it.
    """
    count = check_count("class_means", "n_classes", n_classes)
    found = torch.bincount(labels, minlength=count)
    if len(found) > count or int(found.min()) == 0:
        raise ValueError(
            f"class_means: labels must have each class from 0 to {count - 1}, got "
            f"{found.tolist()} images of each"
        )
    sums = features.new_zeros(count, features.shape[1])
    sums = sums.index_add(0, labels, functional.normalize(features, dim=1))
    return functional.normalize(sums, dim=1)


def blend(texts: Tensor, means: Tensor, n_shot: int, *, text_weight: float = TEXT_WEIGHT) -> Tensor:
    """Blends text anchors with image prototypes: ``unit(text_weight * text + n_shot * mean)``.

    Args:
        texts: Unit anchors ``[C, M]``.
        means: Unit prototypes ``[C, M]`` of ``n_shot`` images each.
        n_shot: Images behind each prototype.
        text_weight: How many images a text is worth.

    Raises:
        ValueError: The shapes differ, or the weight is negative.

    Source: LAAT, Li, Zhang, Hu, CVPR 2024, blended prototypes.
    """
    if texts.shape != means.shape:
        raise ValueError(
            f"blend: texts and means must have one shape, got {list(texts.shape)} and "
            f"{list(means.shape)}"
        )
    if not text_weight >= 0:
        raise ValueError(f"blend: text_weight must be at least 0, got {text_weight}")
    n_shot = check_count("blend", "n_shot", n_shot)
    return functional.normalize(text_weight * texts + n_shot * means, dim=1)
