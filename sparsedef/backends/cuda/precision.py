"""Products in full float32, whatever the user allows elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_float32() -> Iterator[None]:
    """Switches TF32 off for matrix products on CUDA: its 10 bits would choose other atoms."""
    matmul = torch.backends.cuda.matmul
    # The setting's name since torch 2.9; the two must not be mixed.
    name, exact = (
        ("fp32_precision", "ieee") if hasattr(matmul, "fp32_precision") else ("allow_tf32", False)
    )
    before = getattr(matmul, name)
    setattr(matmul, name, exact)
    try:
        yield
    finally:
        setattr(matmul, name, before)
