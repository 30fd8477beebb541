"""Weights and l2: scikit-learn, the augmented dictionary, the change of variables, and bounds."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsedef import lasso
from sparsedef.backends import Problem
from sparsedef.testing import TOLERANCES, able_backends, lasso_objective, make_problem

DTYPES = [torch.float32, torch.float64]
CPU = torch.device("cpu")


def able(algorithm: str = "active_set", *, ridge: bool = True) -> list[str]:
    options = {"algorithm": algorithm, "ridge": ridge}
    return able_backends(Problem("lasso", 8, 16, 32, torch.float64, CPU, options))


SERVERS = [(a, name) for a in ("active_set", "ista", "fista") for name in able(a)]


def draw_weights(n_atoms: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.linspace(0.4, 2.5, n_atoms, dtype=dtype)


@pytest.mark.parametrize("backend", able())
@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("l2", [0.0, 0.2])
def test_objective_equals_scikit_learns(l2: float, nonnegative: bool, backend: str) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, dictionary = make_problem(20, 40, 90, correlation=0.4)
    alpha = 0.03
    codes = lasso(x, dictionary, alpha, l2=l2, nonnegative=nonnegative, backend=backend).codes
    # scikit-learn: 1/(2 M) ||.||^2 + a r ||z||_1 + a (1 - r) / 2 ||z||^2.
    peer = linear_model.ElasticNet(
        alpha=(alpha + l2) / 40, l1_ratio=alpha / (alpha + l2), fit_intercept=False,
        positive=nonnegative, tol=1e-14, max_iter=10**6,
    )  # fmt: skip
    theirs = torch.stack(
        [torch.as_tensor(peer.fit(dictionary.mT.numpy(), row.numpy()).coef_) for row in x]
    )
    ours = lasso_objective(x, dictionary, codes, alpha, l2)
    ratio = ours / lasso_objective(x, dictionary, theirs, alpha, l2)
    assert (ratio - 1).abs().max() <= TOLERANCES[torch.float64].objective


@pytest.mark.parametrize(("algorithm", "backend"), SERVERS)
def test_elastic_net_is_a_lasso_over_longer_atoms(algorithm: str, backend: str) -> None:
    # l2/2 ||z||^2 is the fit of z sqrt(l2) to 0: the gap is the same number, too.
    x, dictionary = make_problem(10, 16, 30, correlation=0.3)
    longer = torch.cat([dictionary, 0.3**0.5 * torch.eye(30).double()], dim=1)
    zeros = torch.zeros(10, 30, dtype=torch.float64)
    options = {"algorithm": algorithm, "tol": 1e-8}
    net = lasso(x, dictionary, 0.05, l2=0.3, backend=backend, **options)
    plain = lasso(torch.cat([x, zeros], dim=1), longer, 0.05, backend="reference", **options)
    assert net.is_converged.all()
    torch.testing.assert_close(net.codes, plain.codes, atol=1e-3, rtol=0)
    torch.testing.assert_close(net.residual, x - net.codes @ dictionary)
    # At rounding level two gaps need not agree in relative terms.
    again = lasso(x, dictionary, 0.05, l2=0.3, init=plain.codes, backend=backend, **options)
    torch.testing.assert_close(again.gap, plain.gap, atol=1e-12, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["dense", "compact"])
@pytest.mark.parametrize("algorithm", ["active_set", "fista"])
def test_weights_scale_the_atoms_penalties(algorithm: str, layout: str, dtype: torch.dtype) -> None:
    x, dictionary = make_problem(12, 20, 45, dtype=dtype, correlation=0.2)
    w = draw_weights(45, dtype)
    code = lasso(x, dictionary, 0.05, weights=w, algorithm=algorithm, layout=layout)
    codes = code.to_dense(45)
    assert code.is_converged.all()
    assert code.gap.max() <= TOLERANCES[dtype].gap
    torch.testing.assert_close(code.residual, x - codes @ dictionary, atol=1e-5, rtol=0)
    manual = lasso(x, dictionary / w[:, None], 0.05, algorithm=algorithm).codes / w
    ours, theirs = (
        lasso_objective(x, dictionary, each, 0.05, weights=w) for each in (codes, manual)
    )
    torch.testing.assert_close(ours, theirs, atol=2 * TOLERANCES[dtype].gap, rtol=0)


def test_weighted_optimality_is_atom_by_atom() -> None:
    x, dictionary = make_problem(30, 24, 60)
    w = draw_weights(60)
    codes = lasso(x, dictionary, 0.04, weights=w, l2=0.1, tol=1e-14).codes
    slopes = (x - codes @ dictionary) @ dictionary.mT - 0.1 * codes
    assert (slopes.abs() <= 0.04 * w + 1e-9).all()
    on = codes != 0
    assert on.any()
    assert ((slopes - 0.04 * w * codes.sign())[on].abs() <= 1e-9).all()


@pytest.mark.parametrize("backend", able())
def test_an_l2_larger_than_all_makes_a_support_of_every_atom(backend: str) -> None:
    # More nonzeros than features: compact slots must grow, and the codes are still exact.
    x, dictionary = make_problem(6, 8, 50)
    options = {"l2": 1.0, "tol": 1e-12, "backend": backend}
    dense = lasso(x, dictionary, 1e-4, **options)
    compact = lasso(x, dictionary, 1e-4, layout="compact", **options)
    assert dense.n_nonzero.min() > 8
    torch.testing.assert_close(compact.to_dense(50), dense.codes, atol=1e-9, rtol=0)
    assert torch.equal(compact.n_nonzero, dense.n_nonzero)
    ridge = torch.linalg.solve(dictionary.mT @ dictionary + torch.eye(8).double(), x, left=False)
    torch.testing.assert_close(dense.codes, ridge @ dictionary.mT, atol=1e-3, rtol=0)


@pytest.mark.parametrize("backend", able())
def test_float32_certifies_an_elastic_net(backend: str) -> None:
    x, dictionary = make_problem(40, 32, 128, dtype=torch.float32, correlation=0.5)
    code = lasso(x, dictionary, 0.02, l2=0.05, backend=backend)
    assert code.is_converged.all()
    best = lasso(x.double(), dictionary.double(), 0.02, l2=0.05, tol=1e-13, backend=backend).codes
    excess = lasso_objective(x, dictionary, code.codes, 0.02, 0.05)
    excess = excess - lasso_objective(x, dictionary, best, 0.02, 0.05)
    assert (excess <= code.gap.double() / 2 + 1e-7).all()


def test_half_weights_and_l2_are_coded_in_float32() -> None:
    x, dictionary = make_problem(5, 16, 30, dtype=torch.float32)
    w = draw_weights(30, torch.float32).bfloat16()
    half = lasso(x.bfloat16(), dictionary.bfloat16(), 0.1, weights=w, l2=torch.tensor(0.5).half())
    full = lasso(
        x.bfloat16().float(), dictionary.bfloat16().float(), 0.1, weights=w.float(), l2=0.5
    )
    assert half.codes.dtype == torch.float32
    assert torch.equal(half.codes, full.codes)


@pytest.mark.parametrize("backend", able())
def test_init_means_the_codes_that_the_user_sees(backend: str) -> None:
    x, dictionary = make_problem(10, 20, 45)
    options = {"weights": draw_weights(45), "l2": 0.1, "backend": backend}
    cold = lasso(x, dictionary, 0.05, **options)
    warm = lasso(x, dictionary, 0.05, init=cold.codes, **options)
    assert (warm.n_iter == 0).all()
    torch.testing.assert_close(warm.codes, cold.codes, atol=1e-12, rtol=0)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 10), st.integers(1, 25), st.floats(0.01, 0.5),
    st.floats(0.0, 1.0), st.floats(0.1, 10), st.integers(0, 10**6),
)  # fmt: skip
def test_scaling_and_permuting(
    n_signals: int, n_features: int, n_atoms: int, alpha: float, l2: float, scale: float, seed: int
) -> None:
    x, dictionary = make_problem(n_signals, n_features, n_atoms, seed=seed)
    w = draw_weights(n_atoms)
    options = {"weights": w, "l2": l2}
    code = lasso(x, dictionary, alpha, **options)
    assert code.is_converged.all()
    best = lasso_objective(x, dictionary, code.codes, alpha, l2, w)
    scaled = lasso(scale * x, dictionary, scale * alpha, **options).codes / scale
    torch.testing.assert_close(
        lasso_objective(x, dictionary, scaled, alpha, l2, w), best, atol=1e-9, rtol=0
    )
    order = torch.randperm(n_atoms, generator=torch.Generator().manual_seed(seed))
    permuted = lasso(x, dictionary[order], alpha, weights=w[order], l2=l2).codes
    torch.testing.assert_close(
        lasso_objective(x, dictionary[order], permuted, alpha, l2, w[order]), best,
        atol=1e-9, rtol=0,
    )  # fmt: skip
    # Twice the weights at half the alpha is the same problem.
    halved = lasso(x, dictionary, alpha / 2, weights=2 * w, l2=l2).codes
    torch.testing.assert_close(
        lasso_objective(x, dictionary, halved, alpha, l2, w), best, atol=1e-9, rtol=0
    )
