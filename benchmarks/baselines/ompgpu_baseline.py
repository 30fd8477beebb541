"""orthogonal-matching-pursuit-gpu ("batched-omp"): two batched pursuits in torch, the OMP rule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.contestants import Call, Contestant, Problem, missing_library
from benchmarks.omp_problems import OmpProblem

PACKAGE = "orthogonal-matching-pursuit-gpu"
_MISSING = missing_library("orthogonal_matching_pursuit_gpu", PACKAGE)


def _prepare(algorithm: str) -> Any:
    def prepare(problem: OmpProblem, setting: None, threads: int) -> Call:
        from orthogonal_matching_pursuit_gpu import run_omp

        atoms = problem.dictionary.T.contiguous()
        # Plain OMP of the atoms as they are: no intercept, no rescaling, no early stop.
        return lambda: run_omp(
            atoms,
            problem.x,
            problem.n_nonzero,
            tol=0.0,
            normalize=False,
            fit_intercept=False,
            alg=algorithm,
        )

    return prepare


def _to_codes(result: Any, problem: Problem) -> Tensor:
    return torch.as_tensor(result)


def _is_omp(problem: Problem) -> bool:
    return isinstance(problem, OmpProblem) and problem.selection == "omp"


CONTESTANTS = tuple(
    Contestant(
        f"ompgpu.{algorithm}",
        PACKAGE,
        _is_omp,
        _prepare(algorithm),
        _to_codes,
        most_work=most_work,
        missing=_MISSING,
    )
    for algorithm, most_work in (("naive", 5.2e7), ("v0", 3e8))
)
