"""scikit-learn: coordinate descent for the LASSO, and orthogonal matching pursuit.

``Lasso`` divides the data term by its row count, which here is M: its alpha is ours / M.
``sparse_encode`` makes that division itself: its alpha is ours. ``Lasso`` is faster with the Gram
matrix (``precompute``) on many signals, without it on a few.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.contestants import Call, Contestant, Problem, missing_library
from benchmarks.problems import LassoProblem, OmpProblem

_MISSING = missing_library("sklearn", "scikit-learn")


def _lasso(precompute: bool, problem: LassoProblem, tol: float, threads: int) -> Call:
    from sklearn.linear_model import Lasso

    x, atoms = problem.x.numpy().T, problem.dictionary.numpy().T
    model = Lasso(
        alpha=problem.alpha / x.shape[0],
        fit_intercept=False,
        precompute=precompute,
        positive=problem.nonnegative,
        tol=tol,
        max_iter=10_000,
    )
    return _quiet(lambda: model.fit(atoms, x).coef_.copy())


def _encode(problem: Problem, setting: None, threads: int) -> Call:
    from sklearn.decomposition import sparse_encode

    x, atoms = problem.x.numpy(), problem.dictionary.numpy()
    if isinstance(problem, LassoProblem):
        return _quiet(
            lambda: sparse_encode(
                x,
                atoms,
                algorithm="lasso_cd",
                alpha=problem.alpha,
                positive=problem.nonnegative,
                n_jobs=None,
            )
        )
    k = problem.n_nonzero
    return _quiet(lambda: sparse_encode(x, atoms, algorithm="omp", n_nonzero_coefs=k, n_jobs=None))


def _quiet(call: Call) -> Call:
    """Drops "did not converge" and its like: the gate says so, with a figure."""

    def quiet_call() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()

    return quiet_call


def _to_codes(result: Any, problem: Problem) -> Tensor:
    return torch.as_tensor(result).reshape(len(problem.x), len(problem.dictionary))


def _is_lasso(problem: Problem) -> bool:
    return isinstance(problem, LassoProblem)


def _is_omp(problem: Problem) -> bool:
    return isinstance(problem, OmpProblem) and problem.selection == "omp"


CONTESTANTS = (
    *(
        Contestant(
            name,
            "scikit-learn",
            _is_lasso,
            partial(_lasso, precompute),
            _to_codes,
            (3e-5, 1e-5, 3e-6, 1e-6, 3e-7, 1e-7),
            most_work=most_work,
            missing=_MISSING,
        )
        for name, precompute, most_work in (
            ("sklearn.Lasso", False, 7e5),
            ("sklearn.Lasso(gram)", True, 3e6),
        )
    ),
    Contestant(
        "sklearn.sparse_encode",
        "scikit-learn",
        _is_lasso,
        _encode,
        _to_codes,
        most_work=5.5e5,
        missing=_MISSING,
    ),
    Contestant(
        "sklearn.sparse_encode(omp)",
        "scikit-learn",
        _is_omp,
        _encode,
        _to_codes,
        most_work=2.6e7,
        missing=_MISSING,
    ),
)
