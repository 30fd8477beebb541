"""The native kernels: arrays as addresses, contiguous, of the stated sizes. See ``csrc``."""

from typing import Any

def capabilities() -> dict[str, Any]:
    """Instruction sets compiled, supported and active; OpenMP; CUDA architectures."""

def set_isa(name: str) -> None:
    """Forces an instruction set by name, for tests; ``"auto"`` chooses again."""

def omp_cpu_float(
    *,
    x: int,
    dictionary: int,
    tol: int,
    limits: int,
    indices: int,
    values: int,
    residual: int,
    n_iter: int,
    status: int,
    n_signals: int,
    n_features: int,
    n_atoms: int,
    n_nonzero: int,
    is_ols: bool,
    is_nonnegative: bool,
    max_memory: int,
    n_threads: int,
) -> None: ...
def patch_omp_cpu_float(
    *,
    images: int,
    dictionary: int,
    mask: int,
    indices: int,
    values: int,
    rebuilt: int,
    n_iter: int,
    status: int,
    n_images: int,
    n_channels: int,
    height: int,
    width: int,
    n_atoms: int,
    size: int,
    stride: int,
    n_nonzero: int,
    standardize: str,
    is_ols: bool,
    tol: float,
    max_memory: int,
    n_threads: int,
) -> None: ...
def lasso_cpu_float(
    *,
    x: int,
    dictionary: int,
    alpha: int,
    ridge: int,
    init: int,
    indices: int,
    values: int,
    residual: int,
    gap: int,
    n_iter: int,
    status: int,
    n_signals: int,
    n_features: int,
    n_atoms: int,
    slots: int,
    is_nonnegative: bool,
    tol: float,
    max_iter: int,
    max_memory: int,
    n_threads: int,
) -> None: ...
def proximal_step_cpu_float(
    *,
    codes: int,
    point: int,
    pace: int,
    correlations: int,
    product: int,
    ridge: int,
    alpha: int,
    step: float,
    n_signals: int,
    stride: int,
    is_nonnegative: bool,
    n_threads: int,
) -> None: ...
def proximal_gap_cpu_float(
    *,
    x: int,
    residual: int,
    codes: int,
    correlations: int,
    ridge: int,
    alpha: int,
    gap: int,
    n_signals: int,
    n_features: int,
    stride: int,
    is_nonnegative: bool,
    n_threads: int,
) -> None: ...
def code_statistics_cpu_float(
    *,
    x: int,
    indices: int,
    values: int,
    gram: int,
    cross: int,
    usage: int,
    n_signals: int,
    n_features: int,
    n_atoms: int,
    n_slots: int,
    n_threads: int,
) -> None: ...
def update_atoms_cpu_float(
    *,
    dictionary: int,
    gram: int,
    cross: int,
    updated: int,
    n_atoms: int,
    n_features: int,
    n_passes: int,
    is_nonnegative: bool,
    is_unit: bool,
    n_threads: int,
) -> None: ...

omp_cpu_double = omp_cpu_float
patch_omp_cpu_double = patch_omp_cpu_float
lasso_cpu_double = lasso_cpu_float
proximal_step_cpu_double = proximal_step_cpu_float
proximal_gap_cpu_double = proximal_gap_cpu_float
code_statistics_cpu_double = code_statistics_cpu_float
update_atoms_cpu_double = update_atoms_cpu_float

# Only in builds with CUDA

def omp_cuda_float(
    *,
    correlations: int,
    gram: int,
    norm2: int,
    energy: int,
    tol: int,
    limits: int,
    workspace: int,
    indices: int,
    values: int,
    n_iter: int,
    status: int,
    n_signals: int,
    n: int,
    n_nonzero: int,
    is_ols: bool,
    is_nonnegative: bool,
    register_slots: int,
    n_groups: int,
    device: int,
    stream: int,
) -> None: ...
def residual_cuda_float(
    *,
    x: int,
    dictionary: int,
    indices: int,
    values: int,
    residual: int,
    n_signals: int,
    n_features: int,
    n_nonzero: int,
    device: int,
    stream: int,
) -> None: ...
def lasso_small_cuda_float(
    *,
    gram: int,
    slopes: int,
    alpha: int,
    codes: int,
    accuracy: int,
    workspace: int,
    n_problems: int,
    size: int,
    is_nonnegative: bool,
    tol: float,
    n_groups: int,
    device: int,
    stream: int,
) -> None: ...

omp_cuda_double = omp_cuda_float
residual_cuda_double = residual_cuda_float
lasso_small_cuda_double = lasso_small_cuda_float

def omp_cuda_numbers(n: int, n_nonzero: int, is_ols: bool, has_registers: bool) -> int:
    """Numbers of memory that one signal needs."""

def lasso_cuda_numbers(size: int) -> int:
    """Numbers of memory that one problem needs."""

def shared_memory_limit(device: int) -> int:
    """Bytes of shared memory that a block may use."""
