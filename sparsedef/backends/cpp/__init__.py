"""The C++ backend: the native kernels of ``sparsedef._C`` on CPU tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sparsedef.backends.base import Backend, Problem

_functions: dict[str, Callable[..., Any]] = {}
_broken = None
try:
    import sparsedef._C  # noqa: F401
except ImportError as error:
    _broken = f"the native module does not load: {error}"
else:
    from sparsedef.backends.cpp.lasso import lasso as active_set
    from sparsedef.backends.cpp.omp import omp
    from sparsedef.backends.cpp.proximal import proximal

    def _lasso(
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
        problem = (x, dictionary, alpha, ridge, init, nonnegative, tol, max_iter, algorithm)
        if algorithm == "active_set":
            return active_set(*problem, allow_tf32, slots, max_memory)
        return proximal(*problem, slots, max_memory)

    _functions = {"omp": omp, "lasso": _lasso}


def _reasons(problem: Problem) -> list[str]:
    reasons = []
    if problem.device.type != "cpu":
        reasons.append(f"the tensors are on {problem.device.type}, its kernels run on the CPU")
    if problem.dtype not in (torch.float32, torch.float64):
        reasons.append(f"its kernels are for float32 and float64, the tensors are {problem.dtype}")
    return reasons


BACKEND = Backend("cpp", _functions, _reasons, _broken)
