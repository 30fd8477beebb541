"""SPAMS: LARS and coordinate descent for the LASSO, and its ``omp``, which is the OLS rule.

Its penalty is not rescaled: ``mode=2`` minimises 1/2 ||x - D a||^2 + lambda1 ||a||_1. It wants
signals and atoms as columns in Fortran order, which is our ``[B, M]`` in C order, byte for byte.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.contestants import Call, Contestant, Problem, in_float64, missing_library
from benchmarks.omp_problems import OmpProblem
from benchmarks.problems import LassoProblem

_MISSING = missing_library("spams", "spams-bin")
F64_MOST_WORK = 1.1e7  # beyond, half as fast as in float32, and minutes for everybody to wait


def _columns(rows: Tensor) -> np.ndarray[Any, Any]:
    columns: np.ndarray[Any, Any] = rows.numpy().T
    assert columns.flags.f_contiguous
    return columns


def _lars(problem: LassoProblem, with_cholesky: bool, threads: int) -> Call:
    import spams

    x, atoms = _columns(problem.x), _columns(problem.dictionary)
    return lambda: spams.lasso(
        x,
        D=atoms,
        lambda1=problem.alpha,
        mode=2,
        pos=problem.nonnegative,
        cholesky=with_cholesky,
        numThreads=threads,
    )


def _descent(problem: LassoProblem, tol: float, threads: int) -> Call:
    import scipy.sparse
    import spams

    x, atoms = _columns(problem.x), _columns(problem.dictionary)
    start = scipy.sparse.csc_matrix((atoms.shape[1], x.shape[1]), dtype=x.dtype)
    return lambda: spams.cd(
        x,
        atoms,
        start,
        lambda1=problem.alpha,
        mode=2,
        itermax=10_000,
        tol=tol,
        numThreads=threads,
    )


def _pursuit(problem: OmpProblem, setting: None, threads: int) -> Call:
    """``eps`` and ``lambda1`` must be given as 0: in float32 its defaults give wrong answers."""
    import spams

    x, atoms = _columns(problem.x), _columns(problem.dictionary)
    k = problem.n_nonzero
    return lambda: spams.omp(x, atoms, L=k, eps=0.0, lambda1=0.0, numThreads=threads)


def _to_codes(result: Any, problem: Problem) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(result.toarray().T))


def _is_lasso(problem: Problem) -> bool:
    return isinstance(problem, LassoProblem)


def _is_signed_lasso(problem: Problem) -> bool:
    return isinstance(problem, LassoProblem) and not problem.nonnegative


def _is_ols(problem: Problem) -> bool:
    return isinstance(problem, OmpProblem) and problem.selection == "ols"


_LASSO = tuple(
    Contestant(name, "spams-bin", accepts, prepare, _to_codes, settings, missing=_MISSING)
    for name, accepts, prepare, settings in (
        ("spams.lasso", _is_lasso, _lars, (False,)),
        ("spams.lasso(cholesky)", _is_lasso, _lars, (True,)),
        ("spams.cd", _is_signed_lasso, _descent, (3e-5, 1e-5, 3e-6, 1e-6, 3e-7)),
    )
)
_OMP = Contestant("spams.omp", "spams-bin", _is_ols, _pursuit, _to_codes, missing=_MISSING)
CONTESTANTS = (
    *_LASSO,
    *(in_float64(contestant, F64_MOST_WORK) for contestant in _LASSO),
    _OMP,
    in_float64(_OMP, most_work=float("inf")),
)
