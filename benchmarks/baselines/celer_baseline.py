"""celer: working sets for the LASSO, one signal after the other.

Its objective divides the data term by the row count, here M: its alpha is ours / M. ``celer_path``
with one alpha is what its ``Lasso`` calls, faster without the estimator around it. Its default of
50,000 epochs per working set is cut to 1,000: in float32 it cannot always reach its tolerance, and
then it would go on for minutes.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.contestants import Call, Contestant, Problem, in_float64, missing_library
from benchmarks.problems import LassoProblem

_MISSING = missing_library("celer", "celer")


def _prepare(problem: LassoProblem, tol: float, threads: int) -> Call:
    from celer import celer_path

    x, atoms = problem.x.numpy(), problem.dictionary.numpy().T
    alphas = np.array([problem.alpha / atoms.shape[0]])

    def call() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "did not converge": the gate says so, with a figure
            return np.stack(
                [
                    celer_path(
                        atoms,
                        signal,
                        "lasso",
                        alphas=alphas,
                        max_iter=20,
                        max_epochs=1000,
                        tol=tol,
                        prune=1,
                        positive=problem.nonnegative,
                    )[1][:, 0]
                    for signal in x
                ]
            )

    return call


def _to_codes(result: Any, problem: Problem) -> Tensor:
    return torch.as_tensor(result)


_FLOAT32 = Contestant(
    "celer",
    "celer",
    lambda problem: isinstance(problem, LassoProblem),
    _prepare,
    _to_codes,
    (1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 3e-7, 1e-7),
    most_work=7e5,
    missing=_MISSING,
)
CONTESTANTS = (_FLOAT32, in_float64(_FLOAT32, most_work=3e5))
