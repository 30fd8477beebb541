"""The CUDA backend: the native kernels of ``sparsedef._C`` on CUDA tensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from sparsedef.backends.base import Backend, Problem

_functions: dict[str, Callable[..., Any]] = {}
_has_kernels = False
try:
    from sparsedef import _C
except ImportError:  # a pure-Python installation: the cpp backend tells
    pass
else:
    from sparsedef.backends.cuda.lasso import lasso
    from sparsedef.backends.cuda.omp import omp
    from sparsedef.backends.cuda.omp import reasons as omp_reasons
    from sparsedef.backends.patch_pipeline import code_patches

    _functions = {"omp": omp, "patch_omp": partial(code_patches, omp), "lasso": lasso}
    _has_kernels = bool(_C.capabilities()["cuda_architectures"])

OLDEST_CAPABILITY = (8, 0)


def _reasons(problem: Problem) -> list[str]:
    reasons = []
    if not _has_kernels:
        reasons.append("this build has no CUDA kernels (nvcc was not found when it was built)")
    if problem.device.type != "cuda":
        reasons.append(f"the tensors are on {problem.device.type}, not on a CUDA device")
    elif not torch.cuda.is_available():
        reasons.append("no CUDA device is visible")
    elif torch.cuda.get_device_capability(problem.device) < OLDEST_CAPABILITY:
        reasons.append("its kernels need compute capability 8.0 or newer")
    if problem.dtype not in (torch.float32, torch.float64):
        reasons.append(f"its kernels are for float32 and float64, the tensors are {problem.dtype}")
    algorithm = problem.options.get("algorithm", "active_set")
    if problem.op == "lasso" and algorithm != "active_set":
        reasons.append(f"it has only the algorithm 'active_set', not {algorithm!r}")
    if problem.op in ("omp", "patch_omp"):
        reasons += omp_reasons(problem)
    return reasons


BACKEND = Backend("cuda", _functions, _reasons)
