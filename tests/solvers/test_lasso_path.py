"""The path of penalties: each code is certified, and is the one that a call of its own finds."""

import re

import pytest
import torch

from sparsedef import LassoPath, Status, alpha_max, lasso, lasso_path
from sparsedef.testing import TOLERANCES, lasso_objective, make_problem

X, D = make_problem(5, 16, 40, correlation=0.2)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_objectives_equal_scikit_learns_along_the_path(nonnegative: bool) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    path = lasso_path(X, D, n_alphas=12, eps=1e-2, nonnegative=nonnegative)
    assert path.is_converged.all()
    for i in range(5):
        alphas, coefficients, _ = linear_model.lasso_path(
            D.mT.numpy(), X[i].numpy(), n_alphas=12, eps=1e-2, positive=nonnegative, tol=1e-14,
            max_iter=10**6,
        )  # fmt: skip
        torch.testing.assert_close(path.alphas[:, i], 16 * torch.as_tensor(alphas))
        theirs = torch.as_tensor(coefficients.T.copy())
        rows = X[i].expand(12, 16)
        ours = lasso_objective(rows, D, path.codes[:, i], path.alphas[:, i])
        ratio = ours / lasso_objective(rows, D, theirs, path.alphas[:, i])
        assert (ratio - 1).abs().max() <= TOLERANCES[torch.float64].objective


def test_penalties_fall_in_equal_ratios_from_a_zero_code() -> None:
    path = lasso_path(X, D, n_alphas=7, eps=0.01)
    torch.testing.assert_close(path.alphas[0], alpha_max(X, D))
    torch.testing.assert_close(path.alphas[-1], 0.01 * alpha_max(X, D))
    ratios = path.alphas[1:] / path.alphas[:-1]
    torch.testing.assert_close(ratios, torch.full_like(ratios, 0.01 ** (1 / 6)))
    assert (path.n_nonzero[0] == 0).all()
    assert (path.gap <= 1e-10).all()


def test_given_penalties_are_sorted_to_fall() -> None:
    path = lasso_path(X, D, torch.tensor([0.1, 0.4, 0.2]))
    assert path.alphas[:, 3].tolist() == pytest.approx([0.4, 0.2, 0.1])
    for i in range(3):
        expected = lasso(X, D, path.alphas[i], tol=1e-13).codes
        torch.testing.assert_close(path.codes[i], expected, atol=1e-5, rtol=0)
    each = torch.rand(4, 5, dtype=torch.float64)
    assert torch.equal(lasso_path(X, D, each).alphas, each.sort(dim=0, descending=True).values)


@pytest.mark.parametrize("options", [{}, {"weights": torch.linspace(0.5, 2, 40), "l2": 0.2}])
@pytest.mark.parametrize("algorithm", ["active_set", "fista"])
def test_compact_and_memory_bound_paths_hold_the_same_codes(
    algorithm: str, options: dict[str, object]
) -> None:
    settings = {"n_alphas": 6, "eps": 0.05, "algorithm": algorithm, "tol": 1e-9, **options}
    dense = lasso_path(X, D, **settings)
    for limit in ({}, {"max_memory": 250_000}):
        compact = lasso_path(X, D, layout="compact", **settings, **limit)
        assert isinstance(compact, LassoPath)
        assert compact.codes is None
        assert compact.indices.shape == (6, 5, int(dense.n_nonzero.max()))
        assert ((compact.indices == -1) == (compact.values == 0)).all()
        torch.testing.assert_close(compact.to_dense(40), dense.codes, atol=1e-5, rtol=0)
    last = lasso(X, D, dense.alphas[-1], algorithm=algorithm, tol=1e-9, **options)
    torch.testing.assert_close(dense.codes[-1], last.codes, atol=1e-4, rtol=0)


def test_warm_starts_pay() -> None:
    x, dictionary = make_problem(20, 64, 256, correlation=0.3)
    path = lasso_path(x, dictionary, n_alphas=20, eps=1e-2, algorithm="fista", tol=1e-6)
    cold = lasso(x, dictionary, path.alphas[-1], algorithm="fista", tol=1e-6)
    assert path.n_iter[-1].sum() < cold.n_iter.sum()


@pytest.mark.parametrize("layout", ["dense", "compact"])
def test_a_bad_row_is_told_at_every_step_and_spoils_none(layout: str) -> None:
    x = X.clone()
    x[1, 0] = torch.inf
    path = lasso_path(x, D, n_alphas=4, layout=layout)
    clean = lasso_path(X, D, n_alphas=4, layout=layout)
    good = [0, 2, 3, 4]
    assert (path.status[:, 1] == Status.NONFINITE).all()
    assert path.to_dense(40)[:, 1].isnan().all()
    torch.testing.assert_close(path.to_dense(40)[:, good], clean.to_dense(40)[:, good])
    assert path.is_converged[:, good].all()


def test_half_precision_and_gradients_are_left_out() -> None:
    x = X.float().bfloat16().requires_grad_(True)
    path = lasso_path(x, D.bfloat16(), n_alphas=3)
    assert path.codes.dtype == torch.float32
    assert not path.codes.requires_grad


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("alphas must be [L] or [L, 5] with L >= 1, got [3, 4]", {"alphas": torch.ones(3, 4)}),
        ("got [0, 5]", {"alphas": torch.ones(0)}),
        ("alphas must be finite and >= 0", {"alphas": -torch.ones(2)}),
        ("n_alphas must be at least 1, got 0", {"n_alphas": 0}),
        ("eps must be in (0, 1), got 1.5", {"eps": 1.5}),
        ("tol must be > 0", {"tol": 0.0, "algorithm": "ista"}),
        ("lasso_path: weights must be [40]", {"weights": torch.ones(3)}),
    ],
)
def test_mistakes_are_named(message: str, call: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        lasso_path(X, D, **call)


def test_an_empty_batch_has_an_empty_path() -> None:
    for layout in ("dense", "compact"):
        path = lasso_path(X[:0], D, n_alphas=3, layout=layout)
        assert path.to_dense(40).shape == (3, 0, 40)
