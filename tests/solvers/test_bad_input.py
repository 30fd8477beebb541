# ruff: noqa: E501 (one mistake a line)
"""Every mistake of a caller is named, with the way out; a bad row never poisons its batch."""

import re

import numpy as np
import pytest
import torch

from sparsedef import Status, alpha_max, lasso, omp
from sparsedef.testing import make_problem

X, D = make_problem(5, 8, 12, dtype=torch.float32)
BROKEN = D.index_fill(0, torch.tensor([0, 3]), torch.nan)
BOTH = [pytest.param(lambda x, d, **k: lasso(x, d, 0.1, **k), id="lasso"),
        pytest.param(lambda x, d, **k: omp(x, d, 3, **k), id="omp")]  # fmt: skip
MISTAKES = [
    (ValueError, "pass x[None] for one signal", lambda f: f(X[0], D)),
    (ValueError, "must be [B, M], got [1, 5, 8]", lambda f: f(X[None], D)),
    (ValueError, "transposed? pass dictionary.T", lambda f: f(X, D.T)),
    (ValueError, "dictionary must be [N, 8] to match x [5, 8], got [12, 7]", lambda f: f(X, D[:, :7])),
    (ValueError, "dictionary must be [N, M] with N, M >= 1, got [0, 8]", lambda f: f(X, D[:0])),
    (ValueError, "must be finite, got NaN or infinity in atoms [0, 3]", lambda f: f(X, BROKEN)),
    (ValueError, "on one device, got cpu and meta", lambda f: f(X, D.to("meta"))),
    (TypeError, "got torch.float64 and torch.float32", lambda f: f(X.double(), D)),
    (TypeError, "got torch.int64 (x.float() converts)", lambda f: f(X.long(), D)),
    (TypeError, "got ndarray (torch.from_numpy(array) makes one)", lambda f: f(X.numpy(), D)),
    (TypeError, "must be a torch.Tensor, got list", lambda f: f(X.tolist(), D)),
    (ValueError, "layout must be one of ['dense', 'compact']", lambda f: f(X, D, layout="csr")),
    (ValueError, "tol must be", lambda f: f(X, D, tol=-1.0)),
    (ValueError, "backend must be 'auto' or one of", lambda f: f(X, D, backend="gpu")),
]  # fmt: skip


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize(("error", "message", "mistake"), MISTAKES, ids=[m[1] for m in MISTAKES])
def test_a_mistake_in_what_is_shared(error, message, mistake, function) -> None:
    with pytest.raises(error, match=re.escape(message)):
        mistake(function)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "alpha must be finite and >= 0, got -0.1", lambda: lasso(X, D, -0.1)),
        (ValueError, "alpha must be finite and >= 0, got nan", lambda: lasso(X, D, X[:, 0] * torch.nan)),
        (ValueError, "alpha must be a number or [5]", lambda: lasso(X, D, torch.ones(4))),
        (TypeError, "alpha must be a number or a tensor, got str", lambda: lasso(X, D, "0.1")),
        (ValueError, "init must be [5, 12], got [5, 8]", lambda: lasso(X, D, 0.1, init=X)),
        (ValueError, "init must be >= 0 when nonnegative=True",
         lambda: lasso(X, D, 0.1, init=-torch.ones(5, 12), nonnegative=True)),
        (ValueError, "algorithm must be one of", lambda: lasso(X, D, 0.1, algorithm="lars")),
        (ValueError, "needs algorithm='ista' or 'fista'",
         lambda: lasso(X, D, 0.1, gradient="unrolled")),
        (ValueError, "an active set needs tol > 0", lambda: lasso(X, D, 0.1, tol=0)),
        (ValueError, "max_iter must be at least 1, got 0", lambda: lasso(X, D, 0.1, max_iter=0)),
        (ValueError, "alpha must be given, or target_l0, got neither", lambda: lasso(X, D)),
        (ValueError, "target_l0 chooses alpha", lambda: lasso(X, D, 0.1, target_l0=3)),
        (ValueError, "target_l0 chooses alpha", lambda: lasso(X, D, relative=True, target_l0=3)),
        (ValueError, "init cannot be used with target_l0", lambda: lasso(X, D, target_l0=3, init=torch.ones(5, 12))),
        (ValueError, "target_l0 needs certified codes",
         lambda: lasso(X, D, target_l0=3, tol=0.0, algorithm="ista")),
        (ValueError, "target_l0 must be at least 1, got 0", lambda: lasso(X, D, target_l0=0)),
        (TypeError, "target_l0 must be an int, got float", lambda: lasso(X, D, target_l0=2.5)),
        (ValueError, "weights must be [12], one for each atom, got [5, 12]",
         lambda: lasso(X, D, 0.1, weights=torch.ones(5, 12))),
        (ValueError, "weights must be finite and > 0, got 0", lambda: lasso(X, D, 0.1, weights=torch.zeros(12))),
        (ValueError, "weights must be finite and > 0, got nan",
         lambda: lasso(X, D, 0.1, weights=torch.ones(12) * torch.nan)),
        (ValueError, "weights must be on cpu", lambda: lasso(X, D, 0.1, weights=torch.ones(12, device="meta"))),
        (TypeError, "weights must be a torch.Tensor, got list", lambda: lasso(X, D, 0.1, weights=[1.0] * 12)),
        (ValueError, "alpha_max: weights must be [12]", lambda: alpha_max(X, D, weights=torch.ones(3))),
        (ValueError, "l2 must be finite and >= 0, got -1", lambda: lasso(X, D, 0.1, l2=-1.0)),
        (ValueError, "l2 must be finite and >= 0, got inf", lambda: lasso(X, D, 0.1, l2=torch.tensor(torch.inf))),
        (ValueError, "l2 must be one number, got a tensor [12]", lambda: lasso(X, D, 0.1, l2=torch.ones(12))),
        (TypeError, "l2 must be a number or a tensor, got str", lambda: lasso(X, D, 0.1, l2="1")),
        (ValueError, "max_memory must be at least 1, got 0", lambda: lasso(X, D, 0.1, max_memory=0)),
        (TypeError, "max_memory must be an int, got float", lambda: lasso(X, D, 0.1, max_memory=1e9)),
        (ValueError, "max_memory must be at least", lambda: lasso(X, D, 0.1, max_memory=10, backend="reference")),
        (ValueError, "max_memory must be at least",
         lambda: lasso(X, D, 0.1, max_memory=10, algorithm="fista", backend="reference")),
        (ValueError, "n_nonzero must be at least 1, got 0", lambda: omp(X, D, 0)),
        (TypeError, "n_nonzero must be an int, got float", lambda: omp(X, D, 2.0)),
        (ValueError, "selection must be one of ['omp', 'ols']", lambda: omp(X, D, 2, selection="mp")),
        (ValueError, "atoms of norm 1, got norms from 2 to 2 (12 of 12 are wrong; pass normalize=True",
         lambda: omp(X, 2 * D, 2)),
    ],
)  # fmt: skip
def test_a_mistake_of_one_solver(error, message, call) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_too_large_a_support_is_lowered_aloud() -> None:
    with pytest.warns(UserWarning, match=r"n_nonzero=20 is more than min\(M, N\) = 8"):
        code = omp(X, D, 20, layout="compact")
    assert code.indices.shape == (5, 8)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("layout", ["dense", "compact"])
@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_row_does_not_poison_its_batch(bad, function, layout: str, backend: str) -> None:
    x = X.clone()
    x[2, 5] = bad
    clean, found = (function(v, D, layout=layout, backend=backend) for v in (X, x))
    good = torch.tensor([0, 1, 3, 4])
    assert found.status[2] == Status.NONFINITE
    assert (found.status[good] == clean.status[good]).all()
    assert found.residual[2].isnan().all()
    # Library products may round differently; the C++ kernels do not.
    close = {"rtol": 0, "atol": 0 if found.backend == "cpp" else 1e-6}
    torch.testing.assert_close(found.residual[good], clean.residual[good], **close)
    assert found.to_dense(12)[2].isnan().all()
    torch.testing.assert_close(found.to_dense(12)[good], clean.to_dense(12)[good], **close)


OWN_NORMS = pytest.param(lambda x, d: omp(x, 2 * d, 3, normalize=True), id="omp-normalize")


@pytest.mark.parametrize("function", [*BOTH, OWN_NORMS])
def test_a_bad_row_gives_no_gradient_and_spoils_none(function) -> None:
    def gradients(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, d = x.clone().requires_grad_(True), D.clone().requires_grad_(True)
        code = function(x, torch.nn.functional.normalize(d, dim=1))
        good = [0, 1, 3, 4]
        (code.residual[good].square().sum() + code.codes[good].sin().sum()).backward()
        return x.grad, d.grad

    x = X.clone()
    x[2, 5] = torch.nan
    clean, found = gradients(X), gradients(x)
    assert torch.equal(clean[0], found[0])
    torch.testing.assert_close(clean[1], found[1])


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize("layout", ["dense", "compact"])
def test_an_empty_batch_has_an_empty_answer(layout: str, function) -> None:
    code = function(X[:0], D, layout=layout)
    assert code.residual.shape == (0, 8)
    assert code.status.shape == (0,)
    assert code.to_dense(12).shape == (0, 12)


@pytest.mark.parametrize("function", BOTH)
def test_memory_order_does_not_matter_and_inputs_stay_as_they_are(function) -> None:
    x, d = X.T.contiguous().T, D.T.contiguous().T
    kept = x.clone(), d.clone()
    assert not x.is_contiguous()
    assert torch.equal(function(x, d).codes, function(X, D).codes)
    assert torch.equal(x, kept[0])
    assert torch.equal(d, kept[1])
    wide = torch.randn(5, 16)[:, ::2]
    assert torch.equal(function(wide, D).codes, function(wide.contiguous(), D).codes)


@pytest.mark.parametrize("function", BOTH)
def test_a_zero_signal_has_a_zero_code(function) -> None:
    x = torch.cat([X[:1], 0 * X[:1]])
    code = function(x, D)
    assert (code.codes[1] == 0).all()
    assert code.is_converged.all()
