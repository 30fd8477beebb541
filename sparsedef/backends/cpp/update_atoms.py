"""The atoms' turn in dictionary learning by the native CPU kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef import _C
from sparsedef.backends.cpp.threads import n_threads


def update_atoms(
    dictionary: Tensor,
    gram: Tensor,
    cross: Tensor,
    nonnegative: bool,
    unit: bool,
    n_passes: int,
) -> Tensor:
    """Moves each atom to its best place in turn; see the reference for the problem.

    The answer is the same to the bit for every number of threads and instruction set.
    """
    dictionary, gram, cross = dictionary.contiguous(), gram.contiguous(), cross.contiguous()
    updated = torch.empty_like(dictionary)
    is_double = dictionary.dtype == torch.float64
    kernel = _C.update_atoms_cpu_double if is_double else _C.update_atoms_cpu_float
    kernel(
        dictionary=dictionary.data_ptr(),
        gram=gram.data_ptr(),
        cross=cross.data_ptr(),
        updated=updated.data_ptr(),
        n_atoms=len(dictionary),
        n_features=dictionary.shape[1],
        n_passes=n_passes,
        is_nonnegative=nonnegative,
        is_unit=unit,
        n_threads=n_threads(),
    )
    return updated
