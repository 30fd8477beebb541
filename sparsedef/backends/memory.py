"""How many signals are worked on at once, so that a solver stays within its memory."""

from __future__ import annotations

import torch
from torch import Tensor


def budget(max_memory: int, x: Tensor, n_atoms: int) -> int:
    """Gives the numbers (of the dtype of ``x``) that the workspace may hold.

    Without ``max_memory``: a little more than X D^T takes, but no less than a machine should have
    and no more than keeps it busy.
    """
    if max_memory:
        return max_memory // x.element_size()
    most = 1 << (30 if x.device.type == "cuda" else 28)
    products = 5 * len(x) * n_atoms * x.element_size() // 4
    return min(most, max(most // 4, products)) // x.element_size()


def demand(
    needed: int, max_memory: int, dtype: torch.dtype, shape: torch.Size, who: str = "lasso"
) -> None:
    """Refuses a ``max_memory`` in which not even one signal (``needed`` numbers) fits."""
    n_bytes = needed * dtype.itemsize
    if 0 < max_memory < n_bytes:
        raise ValueError(
            f"{who}: max_memory must be at least {n_bytes} bytes for one signal over a dictionary"
            f" {list(shape)}, got {max_memory}"
        )
