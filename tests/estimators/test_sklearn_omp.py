"""scikit-learn's own tests of orthogonal matching pursuit, run against ours.

Its functions take a design matrix whose columns are the atoms, and targets in columns; one solves
from a Gram matrix alone, and returns paths. The adapter says all that in our words.
"""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from borrowed import borrow, their_tests
from torch import Tensor

import sparsedef
from sparsedef.solvers.coding import Request, encode

theirs = pytest.importorskip(
    "sklearn.linear_model.tests.test_omp", reason="needs scikit-learn with its tests"
)

Array = np.ndarray[Any, Any]

_ESTIMATORS = "an estimator for regression; ours are transformers (sparsedef.estimators)"
NOT_SHARED = {
    "test_bad_input": "more atoms than N are lowered to min(M, N) with a warning, not refused",
    "test_estimator": _ESTIMATORS,
    "test_estimator_n_nonzero_coefs": _ESTIMATORS,
    "test_omp_cv": _ESTIMATORS,
    "test_omp_reaches_least_squares": _ESTIMATORS,
}


def code(x: Tensor, atoms: Tensor, n_nonzero: int, tol: float | None = None) -> Array:
    """Codes in columns, ``[N, B]``; warns where fewer atoms were used than asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # lowered to min(M, N): said below
        if tol is None:
            codes, _ = encode(x, atoms, Request("omp", n_nonzero))
        else:  # their atoms have one norm in these tests, so the choice is the same
            found = sparsedef.omp(x, atoms, n_nonzero, tol=tol, normalize=True)
            codes = found.to_dense(len(atoms))
    if (not tol) and ((codes != 0).sum(dim=1) < n_nonzero).any():
        warnings.warn("fewer atoms than asked for", RuntimeWarning, stacklevel=3)
    return codes.mT.numpy()


def orthogonal_mp(
    X: Array,
    y: Array,
    *,
    n_nonzero_coefs: int | None = None,
    tol: float | None = None,
    precompute: bool = False,
    return_path: bool = False,
) -> Array:
    x = torch.from_numpy(np.ascontiguousarray(y.reshape(len(y), -1).T))
    atoms = torch.from_numpy(np.ascontiguousarray(X.T))
    if tol is not None:
        return np.squeeze(code(x, atoms, len(atoms), tol))
    most = n_nonzero_coefs or max(len(atoms) // 10, 1)
    if return_path:
        return np.stack([code(x, atoms, count) for count in range(1, most + 1)], axis=2)
    return np.squeeze(code(x, atoms, most))


def orthogonal_mp_gram(
    Gram: Array,
    Xy: Array,
    *,
    n_nonzero_coefs: int | None = None,
    copy_Gram: bool = True,
    copy_Xy: bool = True,
    return_path: bool = False,
) -> Array:
    """Codes from inner products alone: OMP sees no more of signals and atoms than these.

    So any atoms with that Gram matrix and signals with those correlations will do.
    """
    dtype = np.result_type(Gram)
    sizes, axes = np.linalg.eigh(Gram.astype(np.float64))
    kept = sizes > 1e-9 * sizes[-1]
    design = np.sqrt(sizes[kept])[:, None] * axes[:, kept].T
    targets = np.linalg.pinv(design.T) @ Xy
    return orthogonal_mp(
        design.astype(dtype),
        targets.astype(dtype),
        n_nonzero_coefs=n_nonzero_coefs,
        return_path=return_path,
    )


NAMES = {"orthogonal_mp": orthogonal_mp, "orthogonal_mp_gram": orthogonal_mp_gram}
globals().update(borrow(theirs, NAMES, NOT_SHARED))


def test_the_tests_left_out_exist() -> None:
    assert set(NOT_SHARED) <= set(their_tests(theirs))
