"""sparsedef itself, through its public functions alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor

import sparsedef
from benchmarks.contestants import Call, Contestant, Problem
from benchmarks.gate import GAP
from benchmarks.problems import LassoProblem, OmpProblem


def contestant(backend: str = "auto") -> Contestant:
    """sparsedef with the automatic or a forced backend."""
    name = "sparsedef" if backend == "auto" else f"sparsedef[{backend}]"
    return Contestant(name, "sparsedef", lambda problem: True, _Prepare(backend), _to_codes)


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
        assert isinstance(problem, OmpProblem)
        return lambda: sparsedef.omp(
            x,
            dictionary,
            problem.n_nonzero,
            selection=problem.selection,
            layout="compact",
            backend=self.backend,
        )


def _to_codes(result: Any, problem: Problem) -> Tensor:
    codes: Tensor = result.to_dense(len(problem.dictionary))
    return codes
