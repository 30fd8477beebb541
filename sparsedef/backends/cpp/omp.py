"""OMP by the native CPU kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef import _C
from sparsedef.backends.cpp.threads import n_threads


def omp(
    x: Tensor,
    dictionary: Tensor,
    tol: Tensor,
    limits: Tensor | None,
    n_nonzero: int,
    selection: str,
    nonnegative: bool,
    max_memory: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Codes each signal greedily; see ``sparsedef.omp`` for the problem and the shapes.

    The answer is the same to the bit for every batch, number of threads and instruction set.
    """
    assert tol.dtype == x.dtype
    assert limits is None or limits.dtype == torch.int32
    x, dictionary, tol = x.contiguous(), dictionary.contiguous(), tol.contiguous()
    limits = None if limits is None else limits.contiguous()
    n_signals, n_features = x.shape
    indices = torch.empty((n_signals, n_nonzero), dtype=torch.int64)
    values = torch.empty((n_signals, n_nonzero), dtype=x.dtype)
    residual = torch.empty_like(x)
    n_iter = torch.empty(n_signals, dtype=torch.int32)
    status = torch.empty(n_signals, dtype=torch.int32)
    kernel = _C.omp_cpu_double if x.dtype == torch.float64 else _C.omp_cpu_float
    kernel(
        x=x.data_ptr(),
        dictionary=dictionary.data_ptr(),
        tol=tol.data_ptr(),
        limits=0 if limits is None else limits.data_ptr(),
        indices=indices.data_ptr(),
        values=values.data_ptr(),
        residual=residual.data_ptr(),
        n_iter=n_iter.data_ptr(),
        status=status.data_ptr(),
        n_signals=n_signals,
        n_features=n_features,
        n_atoms=len(dictionary),
        n_nonzero=n_nonzero,
        is_ols=selection == "ols",
        is_nonnegative=nonnegative,
        max_memory=max_memory,
        n_threads=n_threads(),
    )
    return indices, values, residual, n_iter, status
