"""LASSO on CUDA: working sets driven by torch, their small problems solved by the native kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef import _C
from sparsedef.backends.cuda.precision import full_float32
from sparsedef.backends.working_set import active_set

_MOST_GROUPS = 4096  # warps at work at once
_WORKSPACE_BYTES = 1 << 28


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
    """Solves the LASSO of each signal; see ``sparsedef.lasso`` for the problem and the shapes.

    Waits for the device once a round, to see how many signals are done.
    """
    assert algorithm == "active_set", algorithm
    with full_float32():
        return active_set(
            x,
            dictionary,
            alpha,
            ridge,
            init,
            nonnegative,
            tol,
            max_iter,
            slots,
            max_memory,
            solve=solve_small,
        )


def solve_small(
    gram: Tensor,
    slopes: Tensor,
    codes: Tensor,
    alpha: Tensor,
    nonnegative: bool,
    tol: float | None = None,
) -> Tensor:
    """Solves small LASSOs, a warp each; see ``sparsedef.backends.small_lasso``.

    Args:
        gram: ``[U, W, W]``; an atom with a zero row keeps its coefficient.
        slopes: Correlations with the residual where ``codes`` stand, ``[U, W]``.
        codes: Where to start, ``[U, W]``.
        alpha: ``[U]``.
        nonnegative: Demand z >= 0.
        tol: Accuracy of the optimality conditions, relative to the largest slope or alpha;
            some roundings of the dtype when ``None``.

    Returns:
        codes ``[U, W]``.
    """
    gram, alpha = gram.contiguous(), alpha.contiguous()
    codes = codes.clone(memory_format=torch.contiguous_format)
    slopes = slopes.clone(memory_format=torch.contiguous_format)  # overwritten, as codes are
    accuracy = torch.empty_like(alpha)
    n_problems, size = slopes.shape
    device = gram.device
    n_bytes = _C.lasso_cuda_numbers(size) * gram.element_size()
    n_groups, workspace = 0, None
    if n_bytes > _C.shared_memory_limit(device.index):
        n_groups = max(1, min(n_problems, _MOST_GROUPS, _WORKSPACE_BYTES // n_bytes))
        workspace = torch.empty(n_groups * n_bytes, dtype=torch.uint8, device=device)
    is_double = gram.dtype == torch.float64
    kernel = _C.lasso_small_cuda_double if is_double else _C.lasso_small_cuda_float
    kernel(
        gram=gram.data_ptr(),
        slopes=slopes.data_ptr(),
        alpha=alpha.data_ptr(),
        codes=codes.data_ptr(),
        accuracy=accuracy.data_ptr(),
        workspace=0 if workspace is None else workspace.data_ptr(),
        n_problems=n_problems,
        size=size,
        is_nonnegative=nonnegative,
        tol=4 * torch.finfo(gram.dtype).eps if tol is None else tol,
        n_groups=n_groups,
        device=device.index,
        stream=torch.cuda.current_stream(device).cuda_stream,
    )
    return codes
