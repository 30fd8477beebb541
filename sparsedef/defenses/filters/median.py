"""Median filter: removes lone pixels, keeps edges; differentiable almost everywhere."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sparsedef.solvers.checks import check_count


def median_filter(images: Tensor, *, size: int = 3) -> Tensor:
    """Replaces each value by the median of the ``size`` x ``size`` window around it, per channel.

    An even window reaches one pixel further up and left than down and right, and takes the upper
    of its two middle values (scipy's convention); beyond the edge the nearest pixel stands in.

    Args:
        images: ``[B, C, H, W]``.
        size: Side of the window, at least 1.

    Returns:
        Filtered images ``[B, C, H, W]``.

    Raises:
        ValueError: ``size`` is below 1.

    Gradients: exact almost everywhere: all of it goes to the pixel whose value was taken; among
    equal ones, to one of them.

    Example:
        >>> lone = torch.zeros(1, 1, 5, 5)
        >>> lone[..., 2, 2] = 1.0
        >>> median_filter(lone).abs().max().item()
        0.0

    Source: Tukey, 1977; as a defense, Xu, Evans, Qi, 2018.
    """
    check_count("median_filter", "size", size)
    height, width = images.shape[-2:]
    before = size // 2
    after = size - 1 - before
    padded = functional.pad(images, (before, after, before, after), mode="replicate")
    # size^2 images of extra memory
    windows = torch.stack(
        [
            padded[..., down : down + height, right : right + width]
            for down in range(size)
            for right in range(size)
        ],
        dim=-1,
    )
    return windows.kthvalue(size * size // 2 + 1, dim=-1).values
