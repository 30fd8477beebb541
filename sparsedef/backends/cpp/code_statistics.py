"""What dictionary learning keeps of a batch, from the nonzero codes, by the native CPU kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef import _C
from sparsedef.backends.cpp.threads import n_threads


def code_statistics(
    x: Tensor, indices: Tensor, values: Tensor, n_atoms: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Adds up the products of a batch's codes; see the reference for the problem.

    The answer is the same to the bit for every number of threads and instruction set.
    """
    x, indices, values = x.contiguous(), indices.contiguous(), values.contiguous()
    (n_signals, n_features), n_slots = x.shape, indices.shape[1]
    gram = torch.empty((n_atoms, n_atoms), dtype=x.dtype)
    cross = torch.empty((n_atoms, n_features), dtype=x.dtype)
    usage = torch.empty(n_atoms, dtype=x.dtype)
    is_double = x.dtype == torch.float64
    kernel = _C.code_statistics_cpu_double if is_double else _C.code_statistics_cpu_float
    kernel(
        x=x.data_ptr(),
        indices=indices.data_ptr(),
        values=values.data_ptr(),
        gram=gram.data_ptr(),
        cross=cross.data_ptr(),
        usage=usage.data_ptr(),
        n_signals=n_signals,
        n_features=n_features,
        n_atoms=n_atoms,
        n_slots=n_slots,
        n_threads=n_threads(),
    )
    return gram, cross, usage
