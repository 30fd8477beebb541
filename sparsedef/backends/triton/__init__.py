"""The Triton backend: OMP and proximal LASSO on GPUs. Importing it does not import Triton."""

from __future__ import annotations

import os
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import torch

from sparsedef.backends.base import Backend, Problem
from sparsedef.backends.patch_pipeline import code_patches

ALGORITHMS = ("ista", "fista")
DTYPES = (torch.float32, torch.float64)
OLDEST_CAPABILITY = (8, 0)


def _lasso(*arguments: Any) -> Any:
    """Loads the kernels at the first call; see ``sparsedef.backends.triton.lasso``."""
    from sparsedef.backends.triton.lasso import lasso

    return lasso(*arguments)


def _omp(*arguments: Any) -> Any:
    """Loads the kernels at the first call; see ``sparsedef.backends.triton.omp``."""
    from sparsedef.backends.triton.omp import omp

    return omp(*arguments)


@cache
def _is_installed() -> bool:
    return find_spec("triton") is not None


def is_interpreted() -> bool:
    """Says whether Triton runs kernels in Python, on any device (``TRITON_INTERPRET=1``)."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes")


def _reasons(problem: Problem) -> list[str]:
    reasons = []
    if not _is_installed():
        reasons.append("triton is not installed (pip install triton)")
    if problem.device.type == "cuda":
        reasons.extend(_device_reasons(problem.device))
    elif not is_interpreted():
        reasons.append(f"its kernels need tensors on a CUDA device, these are on {problem.device}")
    if problem.dtype not in DTYPES:
        reasons.append(f"it works in float32 and float64, not {problem.dtype}")
    algorithm = problem.options.get("algorithm")
    if problem.op == "lasso" and algorithm not in ALGORITHMS:
        reasons.append(f"it has algorithm 'ista' and 'fista', not {algorithm!r}")
    return reasons


def _device_reasons(device: torch.device) -> list[str]:
    capability = torch.cuda.get_device_capability(device)
    if capability >= OLDEST_CAPABILITY:
        return []
    return [f"it needs compute capability 8.0 or newer, this device has {capability}"]


BACKEND = Backend(
    "triton", {"lasso": _lasso, "omp": _omp, "patch_omp": partial(code_patches, _omp)}, _reasons
)
