"""OMP on CUDA: correlations and Gram matrix by torch, the pursuit by the native kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef import _C
from sparsedef.backends.base import Status
from sparsedef.backends.cuda.precision import full_float32

MOST_ATOMS = 16384  # a Gram matrix of 1 GiB in float32
_CHUNK_BYTES = 1 << 28  # correlations
_WORKSPACE_BYTES = 1 << 28
_MOST_GROUPS = 4096  # warps at work at once
_WARPS = 4  # of a block


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

    Nothing waits for the device. The kernel is the CPU's, one warp per signal; the correlations
    are torch's, so the bits are not.
    """
    x, dictionary, tol = x.contiguous(), dictionary.contiguous(), tol.to(x.dtype)
    n_signals = len(x)
    finite = x.isfinite().all(dim=1)
    scale = _power_of_two(torch.where(finite[:, None], x, 0))
    scaled = torch.where(finite[:, None], x * scale[:, None], 0)
    energy, scaled_tol = scaled.square().sum(dim=1), tol * scale.square()
    atoms = torch.nn.functional.pad(dictionary, (0, 0, 0, -len(dictionary) % 32))
    indices = torch.empty((n_signals, n_nonzero), dtype=torch.int64, device=x.device)
    values = torch.empty((n_signals, n_nonzero), dtype=x.dtype, device=x.device)
    n_iter = torch.empty(n_signals, dtype=torch.int32, device=x.device)
    status = torch.empty(n_signals, dtype=torch.int32, device=x.device)
    with full_float32():
        gram = atoms @ atoms.T
        norm2 = gram.diagonal().contiguous()
        rows = max(1, _CHUNK_BYTES // (len(atoms) * x.element_size()))
        for i in range(0, n_signals, rows):
            part = slice(i, i + rows)
            _pursue(
                scaled[part] @ atoms.T,
                gram,
                norm2,
                energy[part],
                scaled_tol[part],
                (indices[part], values[part], n_iter[part], status[part]),
                selection == "ols",
            )
    values = torch.where(finite[:, None], values / scale[:, None], torch.nan)
    indices = torch.where(finite[:, None], indices, -1)
    residual = _residual(x, dictionary, indices, values)
    return (
        indices,
        values,
        torch.where(finite[:, None], residual, torch.nan),
        n_iter * finite,
        torch.where(finite, status, int(Status.NONFINITE)),
    )


def _power_of_two(x: Tensor) -> Tensor:
    """The power of two that brings each row's largest magnitude near 1."""
    most = 126 if x.dtype == torch.float32 else 1022
    _, exponent = torch.frexp(x.abs().amax(dim=1))
    return torch.exp2(-exponent.clamp(-most, most).to(x.dtype))


def _pursue(
    correlations: Tensor,
    gram: Tensor,
    norm2: Tensor,
    energy: Tensor,
    tol: Tensor,
    outputs: tuple[Tensor, Tensor, Tensor, Tensor],
    is_ols: bool,
) -> None:
    indices, values, n_iter, status = outputs
    n_signals, n = correlations.shape
    n_nonzero = indices.shape[1]
    device = correlations.device
    numbers = _C.omp_cuda_numbers(n, n_nonzero, is_ols)
    size = correlations.element_size()
    n_groups, workspace = 0, None
    if _WARPS * numbers * size > _C.shared_memory_limit(device.index):
        n_groups = max(1, min(n_signals, _MOST_GROUPS, _WORKSPACE_BYTES // (numbers * size)))
        workspace = correlations.new_empty(n_groups * numbers)
    is_double = correlations.dtype == torch.float64
    kernel = _C.omp_cuda_double if is_double else _C.omp_cuda_float
    kernel(
        correlations=correlations.data_ptr(),
        gram=gram.data_ptr(),
        norm2=norm2.data_ptr(),
        energy=energy.data_ptr(),
        tol=tol.data_ptr(),
        workspace=0 if workspace is None else workspace.data_ptr(),
        indices=indices.data_ptr(),
        values=values.data_ptr(),
        n_iter=n_iter.data_ptr(),
        status=status.data_ptr(),
        n_signals=n_signals,
        n=n,
        n_nonzero=n_nonzero,
        n_groups=n_groups,
        is_ols=is_ols,
        device=device.index,
        stream=torch.cuda.current_stream(device).cuda_stream,
    )


def _residual(x: Tensor, dictionary: Tensor, indices: Tensor, values: Tensor) -> Tensor:
    residual = torch.empty_like(x)
    kernel = _C.residual_cuda_double if x.dtype == torch.float64 else _C.residual_cuda_float
    kernel(
        x=x.data_ptr(),
        dictionary=dictionary.data_ptr(),
        indices=indices.data_ptr(),
        values=values.data_ptr(),
        residual=residual.data_ptr(),
        n_signals=len(x),
        n_features=x.shape[1],
        n_nonzero=indices.shape[1],
        device=x.device.index,
        stream=torch.cuda.current_stream(x.device).cuda_stream,
    )
    return residual
