"""Bit depth reduction: fewer grey levels per channel."""

from __future__ import annotations

from torch import Tensor

from sparsedef.solvers.checks import check_count


def reduce_bit_depth(images: Tensor, bits: int) -> Tensor:
    """Rounds each value to the nearest of ``2^bits`` levels, ``i / (2^bits - 1)``.

    Args:
        images: ``[B, C, H, W]`` in [0, 1].
        bits: Per channel, 1 to 16.

    Returns:
        Images ``[B, C, H, W]`` of at most ``2^bits`` values.

    Raises:
        ValueError: ``bits`` is out of range.

    Gradients: the identity (straight-through); the exact one is zero almost everywhere.

    Example:
        >>> import torch
        >>> reduce_bit_depth(torch.tensor([[[[0.2, 0.4, 0.9]]]]), bits=1).flatten().tolist()
        [0.0, 0.0, 1.0]

    Source: Xu, Evans, Qi, 2018; the gradient, Bengio, Leonard, Courville, 2013.
    """
    if check_count("reduce_bit_depth", "bits", bits) > 16:
        raise ValueError(f"reduce_bit_depth: bits must be at most 16, got {bits}")
    steps = 2**bits - 1
    rounded = (images.detach() * steps).round() / steps
    return rounded + (images - images.detach())
