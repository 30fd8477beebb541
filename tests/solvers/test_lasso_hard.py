"""LASSO on inputs made to break it: every answer is certified, or says that it is not."""

import pytest
import torch
from torch import Tensor

from sparsedef import alpha_max, lasso
from sparsedef.backends import Problem
from sparsedef.testing import TOLERANCES, able_backends, lasso_objective, make_problem

DTYPES = [torch.float32, torch.float64]
CPU = torch.device("cpu")
OPTIONS = {"algorithm": "active_set", "ridge": False}
NAMES = able_backends(Problem("lasso", 8, 16, 32, torch.float64, CPU, OPTIONS))
RIDGE_NAMES = able_backends(
    Problem("lasso", 8, 16, 32, torch.float64, CPU, OPTIONS | {"ridge": True})
)


def assert_certified(x: Tensor, dictionary: Tensor, alpha: Tensor | float, **options) -> Tensor:
    """The gap is met, and bounds the distance to a better solution in float64."""
    code = lasso(x, dictionary, alpha, **options)
    tolerance = TOLERANCES[x.dtype]
    assert code.is_converged.all()
    assert code.gap.max() <= tolerance.gap
    torch.testing.assert_close(
        code.residual, x - code.codes @ dictionary, atol=10 * tolerance.close, rtol=0
    )
    return code.codes


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n_copies", [2, 5])
def test_copies_of_atoms_change_no_objective(
    n_copies: int, dtype: torch.dtype, backend: str
) -> None:
    x, dictionary = make_problem(20, 16, 24, dtype=dtype)
    copies = dictionary.repeat(n_copies, 1)
    once = assert_certified(x, dictionary, 0.05, backend=backend)
    many = assert_certified(x, copies, 0.05, backend=backend)
    torch.testing.assert_close(
        lasso_objective(x, copies, many, 0.05),
        lasso_objective(x, dictionary, once, 0.05),
        atol=TOLERANCES[dtype].gap, rtol=0,
    )  # fmt: skip


@pytest.mark.parametrize("backend", RIDGE_NAMES)
def test_a_ridge_shares_a_code_among_copies(backend: str) -> None:
    x, dictionary = make_problem(10, 16, 24)
    codes = assert_certified(x, dictionary.repeat(3, 1), 0.05, l2=0.1, tol=1e-13, backend=backend)
    shares = codes.view(10, 3, 24)
    torch.testing.assert_close(shares[:, 0], shares[:, 1], atol=1e-7, rtol=0)
    torch.testing.assert_close(shares[:, 0], shares[:, 2], atol=1e-7, rtol=0)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("fraction", [1e-3, 1e-6])
def test_a_penalty_of_almost_nothing_is_certified_in_float64(fraction: float, backend: str) -> None:
    x, dictionary = make_problem(10, 16, 60)
    alpha = fraction * alpha_max(x, dictionary)
    codes = assert_certified(x, dictionary, alpha, backend=backend)
    # Signals lie in the span: as alpha falls, the fit becomes perfect.
    assert (x - codes @ dictionary).norm(dim=1).max() <= 20 * fraction


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_no_penalty_gives_finite_codes_that_fit(dtype: torch.dtype, backend: str) -> None:
    x, dictionary = make_problem(5, 8, 20, dtype=dtype)
    code = lasso(x, dictionary, 0.0, backend=backend)
    assert code.codes.isfinite().all()
    assert (code.residual.norm(dim=1) <= 1e-2).all()
    assert torch.equal(code.is_converged, code.gap <= TOLERANCES[dtype].gap)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("nonnegative", [False, True])
def test_from_alpha_max_on_the_code_is_zero(
    nonnegative: bool, dtype: torch.dtype, backend: str
) -> None:
    x, dictionary = make_problem(50, 16, 60, dtype=dtype)
    top = alpha_max(x, dictionary, nonnegative=nonnegative)
    for factor in (1.0, 1.0001, 2.0, 1e6):
        code = lasso(x, dictionary, factor * top, nonnegative=nonnegative, backend=backend)
        assert (code.codes == 0).all()
        assert code.is_converged.all()


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("nonnegative", [False, True])
def test_atoms_of_cosine_0999_are_certified_in_float64(nonnegative: bool, backend: str) -> None:
    x, dictionary = make_problem(20, 24, 120, correlation=0.999)
    cosines = (dictionary @ dictionary.mT).fill_diagonal_(1)
    assert cosines.min() > 0.99
    x = torch.nn.functional.normalize(x + 3 * dictionary[:20], dim=1)
    assert_certified(x, dictionary, 2e-3, nonnegative=nonnegative, backend=backend)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_many_more_atoms_than_features(dtype: torch.dtype, backend: str) -> None:
    x, dictionary = make_problem(20, 6, 200, dtype=dtype)
    codes = assert_certified(x, dictionary, 0.02, backend=backend)
    assert torch.count_nonzero(codes, dim=1).max() <= 30
    objective = lasso_objective(x, dictionary, codes, 0.02)
    best = lasso(x.double(), dictionary.double(), 0.02, tol=1e-13, backend="reference").codes
    excess = objective - lasso_objective(x, dictionary, best, 0.02)
    assert (excess <= TOLERANCES[dtype].gap).all()


@pytest.mark.parametrize("backend", NAMES)
def test_norms_of_atoms_and_signals_may_differ_by_orders(backend: str) -> None:
    x, dictionary = make_problem(15, 16, 40)
    x = x * torch.logspace(-6, 6, 15).double()[:, None]
    dictionary = dictionary * torch.logspace(-2, 2, 40).double()[:, None]
    code = lasso(x, dictionary, 0.1, relative=True, backend=backend)
    assert code.is_converged.all()


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["dense", "compact"])
@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_one_signal_that_needs_200_atoms_among_thousands_that_need_5(
    dtype: torch.dtype, backend: str, layout: str
) -> None:
    n_signals = 2000
    _, dictionary = make_problem(1, 512, 1500, dtype=dtype)
    generator = torch.Generator().manual_seed(7)
    sizes = torch.full((n_signals,), 5)
    sizes[1234] = 220
    codes = torch.zeros(n_signals, 1500, dtype=dtype)
    for i, size in enumerate(sizes.tolist()):
        atoms = torch.randperm(1500, generator=generator)[:size]
        codes[i, atoms] = 1 + torch.rand(size, generator=generator).to(dtype)
    x = codes @ dictionary
    code = lasso(x, dictionary, 0.5, layout=layout, backend=backend)
    assert code.is_converged.all()
    assert code.n_nonzero[1234] >= 200
    modest = torch.arange(n_signals) != 1234
    assert code.n_nonzero[modest].double().mean() <= 12
    # The hungry one pads its neighbours' work; their answers are as if it were not there.
    alone = lasso(x[:40], dictionary, 0.5, backend=backend)
    close = 50 * TOLERANCES[dtype].close
    torch.testing.assert_close(code.to_dense(1500)[:40], alone.codes, atol=close, rtol=0)
    if layout == "compact":
        assert code.indices.shape[1] == code.n_nonzero[1234]
