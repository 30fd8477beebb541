"""LASSO by the native CPU kernels; working sets here, ISTA and FISTA in ``proximal``."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef import _C
from sparsedef.backends.cpp.proximal import proximal
from sparsedef.backends.cpp.threads import n_threads


def lasso(
    x: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    ridge: Tensor | None,
    init: Tensor | None,
    nonnegative: bool,
    tol: float,
    max_iter: int,
    algorithm: str,
    allow_tf32: bool,
    slots: int,
    max_memory: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Solves the LASSO of each signal; see ``sparsedef.lasso`` for the problem and the shapes."""
    if algorithm != "active_set":
        problem = (x, dictionary, alpha, ridge, init, nonnegative, tol, max_iter, algorithm)
        return proximal(*problem, slots, max_memory)
    x, dictionary, alpha = x.contiguous(), dictionary.contiguous(), alpha.to(x.dtype).contiguous()
    ridge = None if ridge is None else ridge.to(x.dtype).contiguous()
    init = None if init is None else init.to(x.dtype).contiguous()
    n_signals, n_features = x.shape
    n_atoms = len(dictionary)
    indices = torch.empty((n_signals, slots), dtype=torch.int64)
    values = torch.empty((n_signals, slots or n_atoms), dtype=x.dtype)
    residual = torch.empty_like(x)
    gap = torch.empty(n_signals, dtype=x.dtype)
    n_iter = torch.empty(n_signals, dtype=torch.int32)
    status = torch.empty(n_signals, dtype=torch.int32)
    kernel = _C.lasso_cpu_double if x.dtype == torch.float64 else _C.lasso_cpu_float
    kernel(
        x=x.data_ptr(),
        dictionary=dictionary.data_ptr(),
        alpha=alpha.data_ptr(),
        ridge=0 if ridge is None else ridge.data_ptr(),
        init=0 if init is None else init.data_ptr(),
        indices=indices.data_ptr(),
        values=values.data_ptr(),
        residual=residual.data_ptr(),
        gap=gap.data_ptr(),
        n_iter=n_iter.data_ptr(),
        status=status.data_ptr(),
        n_signals=n_signals,
        n_features=n_features,
        n_atoms=n_atoms,
        slots=slots,
        is_nonnegative=nonnegative,
        tol=tol,
        max_iter=max_iter,
        max_memory=max_memory,
        n_threads=n_threads(),
    )
    return indices, values, residual, gap, n_iter, status
