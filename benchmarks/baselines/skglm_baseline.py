"""skglm: its ``Lasso`` estimator, one signal after the other; its alpha is ours / M."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.contestants import Call, Contestant, Problem, in_float64, missing_library
from benchmarks.problems import LassoProblem

_MISSING = missing_library("skglm", "skglm")


def _prepare(problem: LassoProblem, tol: float, threads: int) -> Call:
    from skglm import Lasso

    x, atoms = problem.x.numpy(), problem.dictionary.numpy().T
    model = Lasso(
        alpha=problem.alpha / atoms.shape[0],
        fit_intercept=False,
        positive=problem.nonnegative,
        tol=tol,
    )

    def call() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "did not converge": the gate says so, with a figure
            return np.stack([model.fit(atoms, signal).coef_.copy() for signal in x])

    return call


def _to_codes(result: Any, problem: Problem) -> Tensor:
    return torch.as_tensor(result)


_FLOAT32 = Contestant(
    "skglm",
    "skglm",
    lambda problem: isinstance(problem, LassoProblem),
    _prepare,
    _to_codes,
    (1e-6, 1e-7, 3e-8, 1e-8, 3e-9, 1e-9),
    most_work=3e5,
    missing=_MISSING,
)
CONTESTANTS = (_FLOAT32, in_float64(_FLOAT32, most_work=3e5))
