"""Compiles every kernel for GPUs that need not be there, and reads what it would use on them.

``python -m sparsedef.backends.triton.compile_offline`` prints registers, local memory (spills)
and shared memory per kernel, tile and architecture, and fails if anything spills or does not fit.
Triton needs no GPU to compile when it is told the target.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from sparsedef.backends.triton.gram_kernels import _correlation_kernel, _gram_step_kernel
from sparsedef.backends.triton.lasso_kernels import (
    _certificate_kernel,
    _residual_kernel,
    _shrink_kernel,
)
from sparsedef.backends.triton.omp_kernels import _correlate_kernel, _outside_kernel, _renew_kernel
from sparsedef.backends.triton.pursuit_kernels import RESTART, STEP, _pick_kernel
from sparsedef.backends.triton.support_kernels import _finish_kernel, _settle_kernel
from sparsedef.backends.triton.tiles import ALIGNMENT, BUCKETS, Span, Tile, span_for

ARCHITECTURES = (80, 90, 100)
SHARED_LIMIT = 99 * 1024  # bytes; what every card since compute capability 8.0 grants one block

_SCORES = {"PHASE": STEP, "DEPENDENT": 1e-5}
TILED: dict[str, tuple[Any, dict[str, Any]]] = {
    "residual": (_residual_kernel, {"HAS_MOMENTUM": True}),
    "residual_plain": (_residual_kernel, {"HAS_MOMENTUM": False}),
    "shrink": (_shrink_kernel, {"HAS_MOMENTUM": True, "IS_NONNEGATIVE": False}),
    "shrink_nonnegative": (_shrink_kernel, {"HAS_MOMENTUM": True, "IS_NONNEGATIVE": True}),
    "shrink_plain": (_shrink_kernel, {"HAS_MOMENTUM": False, "IS_NONNEGATIVE": False}),
    "gram_step": (_gram_step_kernel, {"HAS_MOMENTUM": True, "IS_NONNEGATIVE": False}),
    "gram_step_nonnegative": (_gram_step_kernel, {"HAS_MOMENTUM": True, "IS_NONNEGATIVE": True}),
    "gram_step_plain": (_gram_step_kernel, {"HAS_MOMENTUM": False, "IS_NONNEGATIVE": False}),
    "correlation": (_correlation_kernel, {}),
    "certificate": (_certificate_kernel, {"IS_NONNEGATIVE": False}),
    "omp": (_correlate_kernel, {"IS_OLS": False, "IS_NONNEGATIVE": False, **_SCORES}),
    "ols_start": (_correlate_kernel, {"IS_OLS": True, "IS_NONNEGATIVE": True, **_SCORES}),
    "ols": (_outside_kernel, {"IS_NONNEGATIVE": False, **_SCORES}),
    "ols_renew": (_renew_kernel, {"PHASE": RESTART}),
}
PER_SIGNAL: dict[str, tuple[Any, dict[str, Any]]] = {
    "omp_pick": (_pick_kernel, {"HAS_DROPS": False, "DEPENDENT": 1e-5}),
    "omp_settle": (_settle_kernel, {"IS_OLS": True}),
    "omp_finish": (_finish_kernel, {"IS_NONNEGATIVE": True}),
}
KERNELS = TILED | PER_SIGNAL
SIZES = ((64, 10), (1000, 128))  # M and K
_OMP = ("omp", "ols_start", "ols", "ols_renew")
EXACT_ONLY = ("residual_plain", "correlation", "certificate", *_OMP)  # never in TF32
_NUMBERS = {torch.float32: "*fp32", torch.float64: "*fp64"}
_WHOLE = ("n_chosen_ptr", "n_entries_ptr", "limit_ptr", "most_ptr", "phase_ptr", "status_ptr")
_POINTERS = {"rows_ptr": "*i64", "indices_ptr": "*i64", "atom_ptr": "*i32"}
_POINTERS |= dict.fromkeys(_WHOLE, "*i32")
_SIZES = ("n_features", "n_atoms")


@dataclass(frozen=True)
class Usage:
    """What one compiled kernel takes from a GPU, per thread (registers, local) and per block."""

    kernel: str
    dtype: str
    precision: str
    cut: Tile | Span
    is_aligned: bool
    architecture: int
    registers: int
    local_bytes: int
    shared_bytes: int

    @property
    def is_good(self) -> bool:
        """Nothing spills, and the block fits on every supported card."""
        return self.local_bytes == 0 and self.shared_bytes <= SHARED_LIMIT

    def __str__(self) -> str:
        """One line of the report."""
        sizes = "even" if self.is_aligned else "odd"
        verdict = "ok" if self.is_good else "BAD"
        return (
            f"{self.kernel:21} {self.dtype:7} {self.precision:6} {sizes:4} {self.cut!s:9}"
            f" sm_{self.architecture:<3}"
            f" registers {self.registers:3} local {self.local_bytes:4} B"
            f" shared {self.shared_bytes / 1024:5.1f} KiB  {verdict}"
        )


def usages(
    architectures: Sequence[int] = ARCHITECTURES,
    kernels: Sequence[str] = tuple(KERNELS),
    n_workers: int = 1,
) -> Iterator[Usage]:
    """Compiles all cuts of all ``kernels`` for ``architectures``, in ``n_workers`` processes."""
    jobs: list[tuple[str, torch.dtype, str, Tile | Span, bool, int]] = [
        (kernel, dtype, precision, tile, is_aligned, architecture)
        for (dtype, is_aligned), buckets in BUCKETS.items()
        for _, tile in buckets
        for kernel in kernels
        if kernel in TILED
        for precision in _precisions(kernel, dtype)
        for architecture in architectures
    ]
    jobs += [
        (kernel, dtype, "ieee", span, is_aligned, architecture)
        for dtype, is_aligned in BUCKETS
        for span in (span_for(*size, dtype) for size in SIZES)
        for kernel in kernels
        if kernel in PER_SIGNAL
        for architecture in architectures
    ]
    if n_workers == 1:
        yield from (compile_kernel(*job) for job in jobs)
        return
    with ProcessPoolExecutor(n_workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(compile_kernel, *zip(*jobs, strict=True))


def _precisions(kernel: str, dtype: torch.dtype) -> tuple[str, ...]:
    """How a GPU is ever asked to multiply in this kernel."""
    if dtype == torch.float64:
        return ("ieee",)
    return ("tf32x3",) if kernel in EXACT_ONLY else ("tf32x3", "tf32")


def compile_kernel(
    kernel: str,
    dtype: torch.dtype,
    precision: str,
    cut: Tile | Span,
    is_aligned: bool,
    architecture: int,
) -> Usage:
    """Compiles one kernel to machine code and reads its resources from it.

    ``is_aligned`` tells the compiler that M and N are multiples of 16, as Triton's launcher does.
    """
    function, flags = KERNELS[kernel]
    constants = {**flags, "PRECISION": precision, **cut.constants}
    constants = {key: value for key, value in constants.items() if key in function.arg_names}
    signature = {name: _type_of(name, constants, dtype) for name in function.arg_names}
    attributes = {
        (place,): [["tt.divisibility", ALIGNMENT]]
        for place, name in enumerate(function.arg_names)
        if name.endswith("_ptr") or (is_aligned and name in _SIZES)
    }
    source = ASTSource(function, signature, constexprs=constants, attrs=attributes)
    target = GPUTarget("cuda", architecture, 32)
    compiled = triton.compile(source, target=target, options=cut.options)
    registers, local_bytes = _resources(compiled.asm["cubin"])
    return Usage(
        kernel,
        str(dtype).removeprefix("torch."),
        precision,
        cut,
        is_aligned,
        architecture,
        registers,
        local_bytes,
        compiled.metadata.shared,
    )


def _type_of(name: str, constants: dict[str, Any], dtype: torch.dtype) -> str:
    if name in constants:
        return "constexpr"
    return _POINTERS.get(name, _NUMBERS[dtype]) if name.endswith("_ptr") else "i32"


def _resources(cubin: bytes) -> tuple[int, int]:
    """Registers per thread and bytes of local memory (stack and spills) per thread."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        command = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", str(path)]
        report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = {key: int(value) for key, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", report)}
    return found["REG"], found["STACK"] + found["LOCAL"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one line per kernel, tile and architecture; returns 1 if one is bad."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--architecture", type=int, action="append", help="80, 90 or 100; repeat")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args(arguments)
    print(f"triton {triton.__version__}")
    is_good = True
    for usage in usages(options.architecture or ARCHITECTURES, n_workers=options.jobs):
        print(usage, flush=True)
        is_good &= usage.is_good
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
