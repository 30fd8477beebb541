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
from benchmarks.omp_problems import OmpProblem
from benchmarks.problems import LassoProblem

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
    return quiet(lambda: model.fit(atoms, x).coef_.copy())


def _encode(problem: LassoProblem, setting: None, threads: int) -> Call:
    from sklearn.decomposition import sparse_encode

    x, atoms = problem.x.numpy(), problem.dictionary.numpy()
    return quiet(
        lambda: sparse_encode(
            x,
            atoms,
            algorithm="lasso_cd",
            alpha=problem.alpha,
            positive=problem.nonnegative,
            n_jobs=None,
        )
    )


def _pursuit_by_gram(problem: OmpProblem, setting: None, threads: int) -> Call:
    from sklearn.linear_model import orthogonal_mp_gram

    x, atoms, k = problem.x.numpy(), problem.dictionary.numpy(), problem.n_nonzero
    return quiet(
        lambda: orthogonal_mp_gram(atoms @ atoms.T, atoms @ x.T, n_nonzero_coefs=k, copy_Xy=False)
    )


def _pursuit(problem: OmpProblem, setting: None, threads: int) -> Call:
    """Without the Gram matrix: what one signal alone is best served by."""
    from sklearn.linear_model import orthogonal_mp

    x, atoms, k = problem.x.numpy(), problem.dictionary.numpy(), problem.n_nonzero
    return quiet(lambda: orthogonal_mp(atoms.T, x.T, n_nonzero_coefs=k, precompute=False))


def quiet(call: Call) -> Call:
    """Drops "did not converge" and its like: the gate says so, with a figure."""

    def quiet_call() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()

    return quiet_call


def _to_codes(result: Any, problem: Problem) -> Tensor:
    return torch.as_tensor(result).reshape(len(problem.x), len(problem.dictionary))


def _from_columns(result: Any, problem: Problem) -> Tensor:
    codes = torch.as_tensor(result).reshape(len(problem.dictionary), len(problem.x))
    return codes.T.contiguous()


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
    *(
        Contestant(
            f"sklearn.{function}",
            "scikit-learn",
            _is_omp,
            prepare,
            _from_columns,
            most_work=most_work,
            missing=_MISSING,
        )
        for function, prepare, most_work in (
            ("orthogonal_mp_gram", _pursuit_by_gram, 5.2e7),
            ("orthogonal_mp", _pursuit, 9e6),
        )
    ),
)
