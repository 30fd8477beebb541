"""``sparse_encode`` against scikit-learn's, in both dtypes, over atoms of any norm."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from sparsedef import sparse_encode
from sparsedef.testing import TOLERANCES, lasso_objective

sklearn = pytest.importorskip("sklearn.decomposition", reason="needs scikit-learn")
linear_model = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn")

Array = np.ndarray[Any, Any]


def problem(dtype: Any, n_features: int = 24, n_atoms: int = 50) -> tuple[Array, Array]:
    random = np.random.default_rng(0)
    x = random.standard_normal((200, n_features))
    norms = 0.5 + random.random((n_atoms, 1))
    return x.astype(dtype), (norms * random.standard_normal((n_atoms, n_features))).astype(dtype)


def theirs(x: Array, dictionary: Array, **options: Any) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its LASSO may stop short of its tolerance
        return np.asarray(sklearn.sparse_encode(x, dictionary, **options))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "options",
    [
        {"algorithm": "omp"},
        {"algorithm": "omp", "n_nonzero_coefs": 7},
        {"algorithm": "lars"},
        {"algorithm": "lars", "n_nonzero_coefs": 3},
        {"algorithm": "threshold"},
        {"algorithm": "threshold", "alpha": 3.0},
        {"algorithm": "threshold", "positive": True},
    ],
)
def test_codes_are_the_same(options: dict[str, Any], dtype: Any) -> None:
    x, dictionary = problem(dtype)
    ours, reference = sparse_encode(x, dictionary, **options), theirs(x, dictionary, **options)
    assert ours.dtype == reference.dtype
    atol = 1e-5 if dtype == np.float32 else 1e-12
    assert np.allclose(ours, reference, rtol=0, atol=atol)
    assert np.array_equal(ours != 0, reference != 0)


@pytest.mark.parametrize("algorithm", ["lasso_lars", "lasso_cd"])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("alpha", [None, 0.5, 4.0])
def test_the_lasso_is_the_same_problem_at_least_as_well_solved(
    algorithm: str, positive: bool, alpha: float | None
) -> None:
    x, dictionary = problem(np.float64)
    options: dict[str, Any] = {"algorithm": algorithm, "positive": positive, "alpha": alpha}
    options["max_iter"] = 20_000  # their coordinate descent needs more than its default
    codes = sparse_encode(x, dictionary, **options), theirs(x, dictionary, **options)
    ours, reference = (
        lasso_objective(
            *map(torch.from_numpy, (x, dictionary, each)), 1.0 if alpha is None else alpha
        )
        for each in codes
    )
    bound = TOLERANCES[torch.float64].objective
    assert (ours <= reference * (1 + bound)).all()
    assert (reference <= ours * (1 + 1e-3)).all()  # and theirs is near it: one problem, not two


def test_lasso_codes_are_the_same_where_theirs_is_exact() -> None:
    x, dictionary = problem(np.float64)
    ours, reference = sparse_encode(x, dictionary, alpha=0.5), theirs(x, dictionary, alpha=0.5)
    assert np.allclose(ours, reference, rtol=0, atol=1e-9)


def test_the_example_of_their_documentation_has_the_same_answer() -> None:
    x = [[-1, -1, -1], [0, 0, 3]]
    dictionary = [[0, 1, 0], [-1, -1, 2], [1, 1, 1], [0, 1, 1], [0, 2, 1]]
    codes = sparse_encode(x, dictionary, alpha=1e-10)
    assert np.allclose(codes, [[0, 0, -1, 0, 0], [0, 1, 1, 0, 0]], rtol=0, atol=1e-9)
