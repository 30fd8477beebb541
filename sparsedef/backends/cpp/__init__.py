"""The C++ backend: the native kernels of ``sparsedef._C`` on CPU tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sparsedef.backends.base import Backend, Problem

_functions: dict[str, Callable[..., Any]] = {}
_broken = None
try:
    import sparsedef._C  # noqa: F401
except ImportError as error:
    _broken = f"the native module does not load: {error}"
else:
    from sparsedef.backends.cpp.code_statistics import code_statistics
    from sparsedef.backends.cpp.lasso import lasso
    from sparsedef.backends.cpp.omp import omp
    from sparsedef.backends.cpp.patch_omp import patch_omp
    from sparsedef.backends.cpp.update_atoms import update_atoms

    _functions = {
        "omp": omp,
        "patch_omp": patch_omp,
        "lasso": lasso,
        "code_statistics": code_statistics,
        "update_atoms": update_atoms,
    }


def _reasons(problem: Problem) -> list[str]:
    reasons = []
    if problem.device.type != "cpu":
        reasons.append(f"the tensors are on {problem.device.type}, its kernels run on the CPU")
    if problem.dtype not in (torch.float32, torch.float64):
        reasons.append(f"its kernels are for float32 and float64, the tensors are {problem.dtype}")
    return reasons


BACKEND = Backend("cpp", _functions, _reasons, _broken)
