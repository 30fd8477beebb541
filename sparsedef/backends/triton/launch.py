"""Where and how many programs of a kernel are launched."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
from torch import Tensor

from sparsedef.backends.triton.tiles import Tile


def grid(tile: Tile, n_rows: int, n_columns: int) -> tuple[int]:
    """One program per tile of the result."""
    return (triton.cdiv(n_rows, tile.rows) * triton.cdiv(n_columns, tile.columns),)


def on_device(x: Tensor) -> AbstractContextManager[Any]:
    """Makes the tensors' device current: Triton launches there (the interpreter needs none)."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
