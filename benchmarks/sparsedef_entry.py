"""sparsedef itself, through its public functions alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor

import sparsedef
from benchmarks.contestants import Call, Contestant, Problem
from benchmarks.gate import GAP
from benchmarks.omp_problems import PatchProblem
from benchmarks.problems import LassoProblem


def contestant(backend: str = "auto") -> Contestant:
    """sparsedef with the automatic or a forced backend."""
    name = "sparsedef" if backend == "auto" else f"sparsedef[{backend}]"
    return Contestant(name, "sparsedef", lambda problem: True, _Prepare(backend), _to_answer)


class _Prepare:
    def __init__(self, backend: str) -> None:
        self.backend = backend

    def __call__(self, problem: Problem, setting: None, threads: int) -> Call:
        """The thread count is torch's own, set once for the session."""
        x, dictionary = problem.x, problem.dictionary
        if isinstance(problem, LassoProblem):
            return lambda: sparsedef.lasso(
                x,
                dictionary,
                problem.alpha,
                nonnegative=problem.nonnegative,
                tol=GAP,
                layout="compact",
                backend=self.backend,
            )
        k, rule, backend = problem.n_nonzero, problem.selection, self.backend
        if isinstance(problem, PatchProblem):
            images = problem.images
            return lambda: sparsedef.patch_omp(
                images, dictionary, k, standardize="mean", selection=rule, backend=backend
            )
        return lambda: sparsedef.omp(
            x, dictionary, k, selection=rule, layout="compact", backend=backend
        )


def _to_answer(result: Any, problem: Problem) -> Tensor:
    if isinstance(problem, PatchProblem):
        images: Tensor = result.images
        return images
    codes: Tensor = result.to_dense(len(problem.dictionary))
    return codes
