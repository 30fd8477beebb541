"""Every backend gives the reference's answer on every shape, into memory full of NaN."""

import pytest
import torch

from sparsedef.backends import BACKENDS, Problem, Status
from sparsedef.testing import TOLERANCES, able_backends, lasso_objective, make_problem

# B, M, N: ones, primes, no multiple of a vector or a tile, empty, wide, tall.
SHAPES = [(1, 1, 1), (1, 7, 5), (3, 13, 31), (17, 16, 64), (37, 23, 130), (0, 8, 12), (5, 40, 9)]
DTYPES = [torch.float32, torch.float64]
DEVICE = torch.device("cpu")


def others(op: str, dtype: torch.dtype, **options: object) -> list[str]:
    problem = Problem(op, 8, 16, 32, dtype, DEVICE, options)
    return [name for name in able_backends(problem) if name != "reference"]


# Algorithms that more than one backend has on this machine.
LASSO = [
    (algorithm, penalty, nonnegative)
    for algorithm in ("active_set", "ista", "fista")
    for penalty in ("l1", "l1 + ridge")
    for nonnegative in (False, True)
    if others(
        "lasso",
        torch.float32,
        algorithm=algorithm,
        ridge=penalty != "l1",
        nonnegative=nonnegative,
    )
]
# Plain proximal steps creep: a loose gap keeps the grid quick.
LOOSE = {"active_set": 0.0, "ista": 1e-2, "fista": 1e-7}


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("selection", ["omp", "ols"])
@pytest.mark.parametrize("nonnegative", [False, True], ids=["signed", "positive"])
@pytest.mark.parametrize("limited", [False, True], ids=["K", "limits"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_omp_agrees(
    shape: tuple[int, int, int],
    limited: bool,
    nonnegative: bool,
    selection: str,
    dtype: torch.dtype,
) -> None:
    x, dictionary = make_problem(*shape, dtype=dtype)
    k = min(4, *shape[1:])
    tol = torch.full((shape[0],), 1e-3, dtype=dtype)
    limits = (torch.arange(shape[0]) % (k + 2)).int() if limited else None
    arguments = (x, dictionary, tol, limits, k, selection, nonnegative, 0)
    expected = BACKENDS["reference"].functions["omp"](*arguments)
    options = {"selection": selection, "n_nonzero": k, "nonnegative": nonnegative}
    for name in others("omp", dtype, **options, limits=limited):
        found = BACKENDS[name].functions["omp"](*arguments)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.dtype == theirs.dtype
            assert ours.shape == theirs.shape
        assert torch.equal(found[0], expected[0]), name
        close = TOLERANCES[dtype].close
        torch.testing.assert_close(found[1], expected[1], atol=close, rtol=close)
        torch.testing.assert_close(found[2], expected[2], atol=close, rtol=close)
        assert torch.equal(found[3], expected[3])
        assert torch.equal(found[4], expected[4])


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("algorithm", "penalty", "nonnegative"), LASSO)
@pytest.mark.parametrize("slots", ["dense", "compact"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_lasso_agrees(
    shape: tuple[int, int, int],
    slots: str,
    algorithm: str,
    penalty: str,
    nonnegative: bool,
    dtype: torch.dtype,
) -> None:
    ridge = None if penalty == "l1" else torch.linspace(0.0, 0.3, shape[2], dtype=dtype)
    names = others(
        "lasso", dtype, algorithm=algorithm, ridge=ridge is not None, nonnegative=nonnegative
    )
    x, dictionary = make_problem(*shape, dtype=dtype, correlation=0.3)
    alpha = torch.linspace(0.02, 0.4, max(shape[0], 1), dtype=dtype)[: shape[0]]
    n_slots = 0 if slots == "dense" else min(shape[1:]) if ridge is None else shape[2]
    tol = max(TOLERANCES[dtype].gap, LOOSE[algorithm])
    arguments = (x, dictionary, alpha, ridge, None, nonnegative, tol, 20_000, algorithm, False)
    expected = BACKENDS["reference"].functions["lasso"](*arguments, 0, 0)
    for name in names:
        found = BACKENDS[name].functions["lasso"](*arguments, n_slots, 0)
        indices, values, residual, gap, _, status = found
        is_fit = status != int(Status.OVERFLOW)  # steps that stop early may leave many nonzeros
        assert is_fit.all() or (slots == "compact" and algorithm != "active_set")
        codes = dense(indices, values, shape[2])
        close = torch.isclose(residual, x - codes @ dictionary, atol=1e-5, rtol=0).all(dim=1)
        assert close[is_fit].all()
        assert (status == int(Status.CONVERGED))[is_fit].all(), name
        assert (gap <= tol).all()
        ours = lasso_objective(x, dictionary, codes, alpha, ridge)
        theirs = lasso_objective(x, dictionary, expected[1], alpha, ridge)
        # Both are within the gap of the minimum, and ||x||^2 / 2 = 1/2.
        assert ((ours - theirs).abs() <= tol)[is_fit].all(), name


def dense(indices: torch.Tensor, values: torch.Tensor, n_atoms: int) -> torch.Tensor:
    if indices.shape[1] == 0:
        return values
    codes = values.new_zeros(len(values), n_atoms)
    return codes.scatter_add(1, indices.clamp_min(0), values)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("op", ["lasso", "omp"])
def test_a_bad_row_is_marked_the_same_everywhere(op: str, dtype: torch.dtype) -> None:
    x, dictionary = make_problem(6, 12, 20, dtype=dtype)
    x[1, 3], x[4, 0] = torch.nan, torch.inf
    level = torch.full((6,), 0.1, dtype=dtype)
    for name in able_backends(Problem(op, 6, 12, 20, dtype, DEVICE, {"algorithm": "active_set"})):
        function = BACKENDS[name].functions[op]
        if op == "omp":
            outputs = function(x, dictionary, level * 0, None, 3, "omp", False, 0)
        else:
            options = (False, 1e-4, 100, "active_set", False, 12, 0)
            outputs = function(x, dictionary, level, None, None, *options)
        indices, values, residual = outputs[:3]
        n_iter, status = outputs[-2:]
        bad = torch.tensor([False, True, False, False, True, False])
        assert torch.equal(status == int(Status.NONFINITE), bad), name
        assert torch.equal(values.isnan().all(dim=1), bad), name
        assert torch.equal(residual.isnan().all(dim=1), bad), name
        assert (indices[bad] == -1).all(), name
        assert (n_iter[bad] == 0).all(), name
