"""OMP on CUDA: correlations and Gram matrix by torch, the pursuit by the native kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef import _C
from sparsedef.backends.base import Problem, Status
from sparsedef.backends.cuda.precision import full_float32
from sparsedef.backends.memory import demand
from sparsedef.backends.pursuit import power_of_two

# Beyond, rows over the atoms leave shared memory and every step moves more than one product does
# (counted, not timed): Triton's turn.
MOST_ATOMS = 2047
_CHUNK_BYTES = 1 << 28  # correlations
_WORKSPACE_BYTES = 1 << 28
_MOST_GROUPS = 4096  # warps at work at once
# Atoms / 32 of the kernels that keep correlations in registers; more would spill
_REGISTER_SLOTS = {torch.float32: (8, 16, 32), torch.float64: (8, 16)}
_MOST_WASTE = 4  # at most one atom in so many is padding, else shared memory does

Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def omp(
    x: Tensor,
    dictionary: Tensor,
    tol: Tensor,
    limits: Tensor | None,
    n_nonzero: int,
    selection: str,
    nonnegative: bool,
    max_memory: int,
) -> Outputs:
    """Codes each signal greedily; see ``sparsedef.omp`` for the problem and the shapes.

    Nothing waits for the device. The kernel is the CPU's, one warp per signal; the correlations
    are torch's, so the bits are not.

    Raises:
        ValueError: ``max_memory`` is too small for the Gram matrix and a single signal.
    """
    x, dictionary, tol = x.contiguous(), dictionary.contiguous(), tol.to(x.dtype)
    limits = None if limits is None else limits.to(torch.int32).contiguous()
    n_signals = len(x)
    outputs = (
        torch.empty((n_signals, n_nonzero), dtype=torch.int64, device=x.device),
        x.new_empty((n_signals, n_nonzero)),
        torch.empty_like(x),
        torch.empty(n_signals, dtype=torch.int32, device=x.device),
        torch.empty(n_signals, dtype=torch.int32, device=x.device),
    )
    register_slots = 0 if nonnegative else _register_slots(len(dictionary), x.dtype)
    rows, room = _plan(x, dictionary, n_nonzero, max_memory, register_slots)
    n = 32 * register_slots or -(-len(dictionary) // 32) * 32
    atoms = torch.nn.functional.pad(dictionary, (0, 0, 0, n - len(dictionary)))
    with full_float32():
        gram = atoms @ atoms.T
        norm2 = gram.diagonal().contiguous()
        for i in range(0, n_signals, rows):
            part = slice(i, i + rows)
            indices, values, residual, n_iter, status = (each[part] for each in outputs)
            finite = x[part].isfinite().all(dim=1)
            signals = x[part].where(finite[:, None], 0)
            scale = power_of_two(signals)
            signals *= scale[:, None]
            _pursue(
                signals @ atoms.T,
                gram,
                norm2,
                torch.linalg.vector_norm(signals, dim=1).square(),
                tol[part] * scale.square(),
                None if limits is None else limits[part],
                (indices, values, n_iter, status),
                selection == "ols",
                nonnegative,
                register_slots,
                room,
            )
            values /= scale[:, None]
            _residual(x[part], dictionary, indices, values, residual)
            indices.masked_fill_(~finite[:, None], -1)
            values.masked_fill_(~finite[:, None], torch.nan)
            residual.masked_fill_(~finite[:, None], torch.nan)
            n_iter *= finite
            status.masked_fill_(~finite, int(Status.NONFINITE))
    return outputs


def reasons(problem: Problem) -> list[str]:
    """Says why the Gram matrix of ``problem`` cannot be kept; empty if it can."""
    if problem.n_atoms > MOST_ATOMS:
        return [f"it keeps rows over at most {MOST_ATOMS} atoms, {problem.n_atoms} are too many"]
    max_memory = problem.options.get("max_memory", 0)
    if 0 < max_memory < 2 * problem.n_atoms**2 * problem.dtype.itemsize:
        return [f"its Gram matrix of {problem.n_atoms} atoms takes half of max_memory or more"]
    return []


def _register_slots(n_atoms: int, dtype: torch.dtype) -> int:
    """Slots of the register kernel that fits ``n_atoms`` with little padding; 0: none does."""
    for slots in _REGISTER_SLOTS[dtype]:
        if n_atoms <= 32 * slots:
            return slots if _MOST_WASTE * (32 * slots - n_atoms) <= 32 * slots else 0
    return 0


def _plan(
    x: Tensor, dictionary: Tensor, n_nonzero: int, max_memory: int, register_slots: int
) -> tuple[int, int]:
    """Signals in a chunk, and bytes that are left for the kernel's workspace."""
    n_atoms, n_features = dictionary.shape
    n = 32 * register_slots or -(-n_atoms // 32) * 32
    size = x.element_size()
    if max_memory == 0:
        return max(1, _CHUNK_BYTES // (n * size)), _WORKSPACE_BYTES
    shared = n * (n + n_features + 1)
    signal = n + 2 * n_features + n_nonzero + 32
    warp = _C.omp_cuda_numbers(n, n_nonzero, True, False)
    demand(shared + signal + warp, max_memory, x.dtype, dictionary.shape, who="omp")
    room = (max_memory - (shared + signal + warp) * size) // 2
    return 1 + room // (signal * size), warp * size + room


def _pursue(
    correlations: Tensor,
    gram: Tensor,
    norm2: Tensor,
    energy: Tensor,
    tol: Tensor,
    limits: Tensor | None,
    outputs: tuple[Tensor, Tensor, Tensor, Tensor],
    is_ols: bool,
    is_nonnegative: bool,
    register_slots: int,
    room: int,
) -> None:
    indices, values, n_iter, status = outputs
    n_signals, n = correlations.shape
    n_nonzero = indices.shape[1]
    device = correlations.device
    size = correlations.element_size()
    numbers = _C.omp_cuda_numbers(n, n_nonzero, is_ols, register_slots > 0)
    n_groups, workspace = 0, None
    if numbers * size > _C.shared_memory_limit(device.index):
        register_slots = 0
        numbers = _C.omp_cuda_numbers(n, n_nonzero, is_ols, False)
        n_groups = max(1, min(n_signals, _MOST_GROUPS, room // (numbers * size)))
        workspace = correlations.new_empty(n_groups * numbers)
    is_double = correlations.dtype == torch.float64
    kernel = _C.omp_cuda_double if is_double else _C.omp_cuda_float
    kernel(
        correlations=correlations.data_ptr(),
        gram=gram.data_ptr(),
        norm2=norm2.data_ptr(),
        energy=energy.data_ptr(),
        tol=tol.data_ptr(),
        limits=0 if limits is None else limits.data_ptr(),
        workspace=0 if workspace is None else workspace.data_ptr(),
        indices=indices.data_ptr(),
        values=values.data_ptr(),
        n_iter=n_iter.data_ptr(),
        status=status.data_ptr(),
        n_signals=n_signals,
        n=n,
        n_nonzero=n_nonzero,
        is_ols=is_ols,
        is_nonnegative=is_nonnegative,
        register_slots=register_slots,
        n_groups=n_groups,
        device=device.index,
        stream=torch.cuda.current_stream(device).cuda_stream,
    )


def _residual(
    x: Tensor, dictionary: Tensor, indices: Tensor, values: Tensor, residual: Tensor
) -> None:
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
