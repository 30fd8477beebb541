"""Help in choosing alpha: its largest useful value, fractions of it, supports of a wanted size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsedef import Status, alpha_max, lasso
from sparsedef.backends import Problem
from sparsedef.testing import able_backends, make_problem

DTYPES = [torch.float32, torch.float64]
CPU = torch.device("cpu")
NAMES = able_backends(
    Problem("lasso", 8, 16, 32, torch.float64, CPU, {"algorithm": "active_set", "ridge": False})
)
WEIGHTS = torch.linspace(0.4, 2.5, 40, dtype=torch.float64)


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("l2", [0.0, 0.7])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_alpha_max_is_where_the_code_becomes_zero(
    weights: Tensor | None, l2: float, nonnegative: bool
) -> None:
    x, dictionary = make_problem(12, 16, 40, correlation=0.2)
    top = alpha_max(x, dictionary, nonnegative=nonnegative, weights=weights)
    options = {"nonnegative": nonnegative, "weights": weights, "l2": l2}
    assert (lasso(x, dictionary, top, **options).codes == 0).all()
    assert (lasso(x, dictionary, 0.99 * top, tol=1e-14, **options).n_nonzero >= 1).all()


def test_no_atom_helps_a_signal_that_points_away_from_all() -> None:
    x = torch.tensor([[-1.0, -2.0]])
    assert alpha_max(x, torch.eye(2), nonnegative=True).item() == 0
    code = lasso(x, torch.eye(2), 0.5, relative=True, nonnegative=True)
    assert (code.codes == 0).all()


def test_alpha_max_of_many_signals_is_that_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    x, dictionary = make_problem(50, 16, 40)
    whole = alpha_max(x, dictionary)
    torch.testing.assert_close(whole, (x @ dictionary.mT).abs().amax(dim=1))
    monkeypatch.setattr("sparsedef.solvers.alpha._CHUNK", 7 * 40)
    torch.testing.assert_close(alpha_max(x, dictionary), whole)
    assert alpha_max(x[:0], dictionary).shape == (0,)


def test_a_bad_row_has_no_alpha_max_and_spoils_no_gradient() -> None:
    x, dictionary = make_problem(4, 8, 12)
    x[2, 3] = torch.nan
    dictionary.requires_grad_(True)
    top = alpha_max(x, dictionary)
    assert top.isnan().tolist() == [False, False, True, False]
    top.nansum().backward()
    assert dictionary.grad.isfinite().all()


@pytest.mark.parametrize("algorithm", ["active_set", "fista"])
def test_relative_alpha_is_a_fraction_of_alpha_max(algorithm: str) -> None:
    x, dictionary = make_problem(12, 16, 40)
    x = x * torch.logspace(-3, 3, 12).double()[:, None]
    fraction = torch.linspace(0.1, 0.9, 12).double()
    code = lasso(x, dictionary, fraction, relative=True, algorithm=algorithm)
    top = alpha_max(x, dictionary)
    torch.testing.assert_close(code.alpha, fraction * top)
    torch.testing.assert_close(
        code.codes, lasso(x, dictionary, fraction * top, algorithm=algorithm).codes
    )


def test_the_result_tells_the_alpha_of_every_call() -> None:
    x, dictionary = make_problem(3, 8, 12)
    assert lasso(x, dictionary, 0.25).alpha.tolist() == [0.25] * 3
    compact = lasso(x, dictionary, 0.25, algorithm="ista", layout="compact", max_iter=5)
    assert compact.alpha.tolist() == [0.25] * 3


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("layout", ["dense", "compact"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_target_l0_gives_supports_of_that_size(
    dtype: torch.dtype, layout: str, backend: str
) -> None:
    x, dictionary = make_problem(40, 32, 100, dtype=dtype, correlation=0.2)
    code = lasso(x, dictionary, target_l0=8, layout=layout, backend=backend)
    size = code.n_nonzero
    assert size.max() <= 8
    assert (size == 8).float().mean() >= 0.9  # others jump over it
    assert code.is_converged.all()
    # The answer is the LASSO's at the alpha that it names.
    again = lasso(x, dictionary, code.alpha, tol=code.gap.max().item() + 1e-12)
    close = 2e-3 if dtype == torch.float32 else 1e-6
    torch.testing.assert_close(code.to_dense(100), again.codes, atol=close, rtol=0)


def test_target_l0_lies_on_scikit_learns_path() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, dictionary = make_problem(6, 32, 60)
    code = lasso(x, dictionary, target_l0=5)
    for i in range(6):
        _, coefficients, _ = linear_model.lasso_path(
            dictionary.mT.numpy(), x[i].numpy(), alphas=[float(code.alpha[i]) / 32], tol=1e-14,
            max_iter=10**6,
        )  # fmt: skip
        theirs = torch.as_tensor(coefficients[:, 0].copy())
        torch.testing.assert_close(code.codes[i], theirs, atol=1e-6, rtol=0)


def test_target_l0_stops_at_the_smallest_penalty_when_it_cannot_be_reached() -> None:
    x, dictionary = make_problem(5, 20, 10)
    code = lasso(x, dictionary, target_l0=15)
    torch.testing.assert_close(code.alpha, 1e-4 * alpha_max(x, dictionary))
    assert (code.n_nonzero <= 10).all()


def test_target_l0_with_weights_l2_and_nonnegative() -> None:
    x, dictionary = make_problem(10, 20, 40)
    options = {"weights": WEIGHTS, "l2": 0.1, "nonnegative": True}
    code = lasso(x, dictionary, target_l0=4, **options)
    assert (code.n_nonzero <= 4).all()
    assert (code.codes >= 0).all()
    again = lasso(x, dictionary, code.alpha, tol=1e-13, **options)
    torch.testing.assert_close(again.codes, code.codes, atol=1e-5, rtol=0)


def test_target_l0_of_bad_and_empty_signals() -> None:
    x, dictionary = make_problem(4, 16, 30)
    x[1], x[2, 3] = 0, torch.nan
    code = lasso(x, dictionary, target_l0=3)
    assert code.n_nonzero[[0, 1, 3]].tolist() == [3, 0, 3]
    assert code.status[2] == Status.NONFINITE
    assert code.codes[2].isnan().all()
    assert lasso(x[:0], dictionary, target_l0=3).codes.shape == (0, 30)


@pytest.mark.parametrize("layout", ["dense", "compact"])
def test_target_l0_is_differentiable_at_the_alpha_it_chose(layout: str) -> None:
    x, dictionary = make_problem(5, 12, 20)
    leaves = x.requires_grad_(True), dictionary.requires_grad_(True)
    code = lasso(*leaves, target_l0=3, tol=1e-13, layout=layout)
    assert code.gradient == "implicit"
    assert not code.alpha.requires_grad
    found = torch.autograd.grad(code.to_dense(20).sin().sum(), leaves)
    again = lasso(*leaves, code.alpha, tol=1e-13)
    expected = torch.autograd.grad(again.codes.sin().sum(), leaves)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6))
def test_target_l0_depends_on_no_neighbour_and_on_no_memory(k: int, seed: int) -> None:
    x, dictionary = make_problem(9, 12, 30, seed=seed)
    whole = lasso(x, dictionary, target_l0=k)
    alone = lasso(x[4:5], dictionary, target_l0=k)
    torch.testing.assert_close(alone.alpha, whole.alpha[4:5], rtol=1e-9, atol=0)
    torch.testing.assert_close(alone.codes, whole.codes[4:5], atol=1e-8, rtol=0)
    tight = lasso(x, dictionary, target_l0=k, max_memory=400_000, layout="compact")
    torch.testing.assert_close(tight.alpha, whole.alpha, rtol=1e-9, atol=0)
    torch.testing.assert_close(tight.to_dense(30), whole.codes, atol=1e-8, rtol=0)
    scaled = lasso(5 * x, dictionary, target_l0=k)
    torch.testing.assert_close(scaled.alpha, 5 * whole.alpha, rtol=1e-9, atol=0)
