"""Mean over a square window: a few shifted sums in place of a sum over the window."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def box_mean(values: Tensor, side: int) -> Tensor:
    """Replaces each value by the mean of the ``side`` x ``side`` window around it, edges mirrored.

    Args:
        values: ``[B, C, H, W]``.
        side: Of the window, odd, at most ``2 * min(H, W) - 1``.

    Returns:
        Means ``[B, C, H, W]``.

    Gradients: exact.

    Example:
        >>> import torch
        >>> box_mean(9 * torch.eye(3)[None, None], 3)[0, 0, 1, 1].item()
        3.0
    """
    padded = functional.pad(values, (side // 2,) * 4, mode="reflect")
    return _sums(_sums(padded, side, -1), side, -2) / side**2


def _sums(values: Tensor, side: int, dim: int) -> Tensor:
    """Sums of ``side`` neighbours along ``dim``, which gets ``side - 1`` shorter.

    Sums of 1, 2, 4, ... neighbours, each of two of the last; those that make up ``side`` in the
    binary system are put one behind the other.
    """
    count = values.shape[dim] - side + 1
    total, reach, power = None, 0, 1
    while True:
        if side & power:
            part = values.narrow(dim, reach, count)
            total = part if total is None else total + part
            reach += power
        if reach == side:
            assert total is not None
            return total
        length = values.shape[dim] - power
        values = values.narrow(dim, 0, length) + values.narrow(dim, power, length)
        power *= 2
