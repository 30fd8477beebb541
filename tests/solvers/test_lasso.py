"""LASSO: optimality first, then exact identities, then scikit-learn, then invariance."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsedef import Status, lasso
from sparsedef.solvers import lasso_solve
from sparsedef.testing import TOLERANCES, lasso_objective, make_problem

DTYPES = [torch.float32, torch.float64]
BACKENDS = ["auto", "reference"]


def assert_optimal(
    x: Tensor, dictionary: Tensor, codes: Tensor, alpha: float, slack: float
) -> None:
    """|D_j r| <= alpha for all j, and = alpha sign(z_j) on the support."""
    correlations = (x - codes @ dictionary) @ dictionary.mT
    assert (correlations.abs() <= alpha + slack).all()
    on = codes != 0
    assert ((correlations - alpha * codes.sign())[on].abs() <= slack).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
def test_the_certificate_holds_on_correlated_atoms(
    correlation: float, backend: str, dtype: torch.dtype
) -> None:
    x, dictionary = make_problem(40, 32, 128, dtype=dtype, correlation=correlation)
    x = torch.nn.functional.normalize(x @ (dictionary.mT @ dictionary), dim=1)
    code = lasso(x, dictionary, 0.05, backend=backend)
    assert code.is_converged.all()
    assert code.gap.max() <= TOLERANCES[dtype].gap
    # The reported gap is an upper bound, checked in float64 against a better solution.
    best = lasso(x.double(), dictionary.double(), 0.05, tol=1e-13, backend="reference").codes
    excess = lasso_objective(x, dictionary, code.codes, 0.05)
    excess = excess - lasso_objective(x, dictionary, best, 0.05)
    assert (excess <= code.gap.double() / 2 + 1e-7).all()


def test_kkt_conditions_hold_to_rounding() -> None:
    x, dictionary = make_problem(50, 24, 100, correlation=0.2)
    assert_optimal(x, dictionary, lasso(x, dictionary, 0.1, tol=1e-14).codes, 0.1, 1e-9)


@pytest.mark.parametrize("algorithm", ["active_set", "ista", "fista"])
@pytest.mark.parametrize("nonnegative", [False, True])
def test_identity_dictionary_soft_thresholds(algorithm: str, nonnegative: bool) -> None:
    x, _ = make_problem(20, 12, 1)
    codes = lasso(
        x, torch.eye(12).double(), 0.2, algorithm=algorithm, nonnegative=nonnegative
    ).codes
    shrunk = x.sign() * (x.abs() - 0.2).clamp_min(0)
    expected = shrunk.clamp_min(0) if nonnegative else shrunk
    torch.testing.assert_close(codes, expected, atol=1e-6, rtol=0)


def test_orthonormal_dictionary_soft_thresholds_the_correlations() -> None:
    x, square = make_problem(20, 12, 12)
    basis = torch.linalg.qr(square).Q
    target = x @ basis.mT
    expected = target.sign() * (target.abs() - 0.1).clamp_min(0)
    torch.testing.assert_close(lasso(x, basis, 0.1).codes, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_objective_equals_scikit_learns(nonnegative: bool) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, dictionary = make_problem(30, 40, 90, correlation=0.4)
    alpha = 0.03
    codes = lasso(x, dictionary, alpha, nonnegative=nonnegative).codes
    # scikit-learn divides the data term by the number of rows, here M.
    peer = linear_model.Lasso(
        alpha=alpha / 40, fit_intercept=False, positive=nonnegative, tol=1e-14, max_iter=10**6
    )
    theirs = torch.stack(
        [torch.as_tensor(peer.fit(dictionary.mT.numpy(), row.numpy()).coef_) for row in x]
    )
    ours = lasso_objective(x, dictionary, codes, alpha)
    ratio = ours / lasso_objective(x, dictionary, theirs, alpha)
    assert (ratio - 1).abs().max() <= TOLERANCES[torch.float64].objective


def test_code_ignores_what_no_atom_sees() -> None:
    # D a = 0 leaves the code as it is and adds a to the residual.
    x, dictionary = make_problem(10, 40, 25)
    basis = torch.linalg.svd(dictionary).Vh[25:]
    unseen = torch.randn(10, 15, dtype=torch.float64) @ basis
    plain, moved = lasso(x, dictionary, 0.05), lasso(x + unseen, dictionary, 0.05, tol=1e-13)
    torch.testing.assert_close(moved.codes, plain.codes, atol=1e-9, rtol=0)
    torch.testing.assert_close(moved.residual, plain.residual + unseen, atol=1e-9, rtol=0)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_reconstruction_is_non_expansive(nonnegative: bool) -> None:
    # ||D dz||^2 <= <D a, dz>, hence ||D dz|| <= ||a||.
    x, dictionary = make_problem(30, 16, 60)
    moved = x + 0.3 * make_problem(30, 16, 60, seed=1)[0]
    one, two = (
        lasso(v, dictionary, 0.1, nonnegative=nonnegative, tol=1e-13).codes for v in (x, moved)
    )
    change = (two - one) @ dictionary
    inner = ((moved - x) @ dictionary.mT * (two - one)).sum(dim=1)
    assert (change.square().sum(dim=1) <= inner + 1e-9).all()
    assert (change.norm(dim=1) <= (moved - x).norm(dim=1) + 1e-9).all()


def test_codes_move_no_further_than_the_isometry_constant_allows() -> None:
    # k-sparse codes, ||dz|| <= sqrt(2 k) max|D a| / (1 - delta_2k).
    x, dictionary = make_problem(200, 60, 10)
    moved = x + 0.2 * make_problem(200, 60, 10, seed=1)[0]
    one, two = lasso(x, dictionary, 0.14).codes, lasso(moved, dictionary, 0.14).codes
    is_sparse = ((one != 0).sum(dim=1) <= 3) & ((two != 0).sum(dim=1) <= 3)
    assert is_sparse.sum() > 50
    subsets = torch.combinations(torch.arange(10), 6)
    atoms = dictionary[subsets]
    delta = (torch.linalg.eigvalsh(atoms @ atoms.mT) - 1).abs().max()
    assert delta < 1
    seen = ((moved - x) @ dictionary.mT).abs().amax(dim=1)
    bound = 6**0.5 * seen / (1 - delta)
    assert ((two - one).norm(dim=1) <= bound + 1e-9)[is_sparse].all()


def test_alpha_per_signal_equals_one_call_each() -> None:
    x, dictionary = make_problem(4, 16, 40)
    alpha = torch.tensor([0.05, 0.1, 0.2, 0.4], dtype=torch.float64)
    together = lasso(x, dictionary, alpha).codes
    for i in range(4):
        alone = lasso(x[i : i + 1], dictionary, float(alpha[i])).codes
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-9, rtol=0)


def test_a_signals_answer_does_not_depend_on_its_batch() -> None:
    x, dictionary = make_problem(70, 24, 100, dtype=torch.float32)
    alpha = torch.full((70,), 0.05)
    alpha[::7] = 1e-3  # some signals need many rounds
    whole = lasso(x, dictionary, alpha)
    for part in (slice(0, 1), slice(13, 14), slice(7, 40)):
        some = lasso(x[part], dictionary, alpha[part])
        torch.testing.assert_close(some.codes, whole.codes[part], atol=2e-5, rtol=0)


def test_zero_code_from_alpha_max_on() -> None:
    x, dictionary = make_problem(8, 16, 40)
    alpha = (x @ dictionary.mT).abs().amax(dim=1)
    code = lasso(x, dictionary, alpha * (1 + 1e-12))
    assert (code.codes == 0).all()
    assert code.is_converged.all()
    assert (lasso(x, dictionary, alpha * 0.99).n_nonzero == 1).all()


def test_compact_layout_holds_the_same_code() -> None:
    x, dictionary = make_problem(20, 16, 60)
    dense, compact = (lasso(x, dictionary, 0.1, layout=name) for name in ("dense", "compact"))
    assert compact.codes is None
    assert compact.indices.shape[1] == dense.n_nonzero.max()
    assert ((compact.indices == -1) == (compact.values == 0)).all()
    torch.testing.assert_close(compact.to_dense(60), dense.codes, atol=1e-12, rtol=0)


@pytest.mark.parametrize("algorithm", ["ista", "fista"])
def test_compact_layout_of_proximal_steps_has_room_for_all(algorithm: str) -> None:
    x, dictionary = make_problem(5, 4, 60)
    steps = {"algorithm": algorithm, "tol": 0.0, "max_iter": 3}
    dense = lasso(x, dictionary, 0.01, **steps)
    assert dense.n_nonzero.max() > 4
    compact = lasso(x, dictionary, 0.01, layout="compact", **steps)
    torch.testing.assert_close(compact.to_dense(60), dense.codes, atol=0, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_duplicate_atoms_have_a_certified_code(backend: str) -> None:
    x, dictionary = make_problem(10, 8, 20)
    twice = torch.cat([dictionary, dictionary, torch.zeros(2, 8, dtype=torch.float64)])
    code = lasso(x, twice, 0.05, backend=backend)
    once = lasso(x, dictionary, 0.05, backend=backend)
    assert code.is_converged.all()
    assert (code.codes[:, -2:] == 0).all()
    torch.testing.assert_close(
        lasso_objective(x, twice, code.codes, 0.05),
        lasso_objective(x, dictionary, once.codes, 0.05),
        atol=1e-10,
        rtol=0,
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_nearly_parallel_atoms_are_certified(backend: str) -> None:
    x, dictionary = make_problem(20, 24, 80, correlation=0.999)
    assert lasso(x, dictionary, 1e-3, backend=backend).is_converged.all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_float32_cannot_reach_is_said_and_bounded(backend: str) -> None:
    # Codes of norm 100 that cancel: rounding them to float32 alone costs more than tol.
    x, dictionary = make_problem(20, 24, 80, dtype=torch.float32, correlation=0.999)
    code = lasso(x, dictionary, 1e-3, backend=backend)
    assert torch.equal(code.is_converged, code.gap <= 1e-5)
    assert code.gap.max() <= 1e-2
    best = lasso(x.double(), dictionary.double(), 1e-3).codes
    excess = lasso_objective(x, dictionary, code.codes, 1e-3)
    excess = excess - lasso_objective(x, dictionary, best, 1e-3)
    assert (excess <= code.gap.double() / 2 + 1e-4).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_hungry_signal_among_modest_ones(backend: str) -> None:
    x, dictionary = make_problem(30, 128, 300)
    alpha = torch.full((30,), 0.25, dtype=torch.float64)
    alpha[11] = 1e-4
    code = lasso(x, dictionary, alpha, backend=backend)
    assert code.is_converged.all()
    assert code.n_nonzero[11] > 100
    assert code.n_nonzero.sum() - code.n_nonzero[11] < 30 * 30


def test_warm_start_reaches_the_same_code_in_fewer_steps() -> None:
    x, dictionary = make_problem(20, 16, 60)
    cold = lasso(x, dictionary, 0.05, algorithm="fista", tol=1e-8)
    warm = lasso(x, dictionary, 0.05, algorithm="fista", tol=1e-8, init=cold.codes)
    assert (warm.n_iter == 0).all()
    exact = lasso(x, dictionary, 0.05, init=cold.codes)
    torch.testing.assert_close(exact.codes, lasso(x, dictionary, 0.05).codes, atol=1e-8, rtol=0)


def test_fixed_steps_are_exactly_that_many_and_say_so() -> None:
    x, dictionary = make_problem(3, 8, 20)
    code = lasso(x, dictionary, 0.1, algorithm="ista", tol=0.0, max_iter=7)
    assert (code.n_iter == 7).all()
    assert (code.status == Status.MAX_ITER).all()
    step = 1 / torch.linalg.matrix_norm(dictionary, 2) ** 2
    z = torch.zeros(3, 20, dtype=torch.float64)
    for _ in range(7):
        z = z + step * (x - z @ dictionary) @ dictionary.mT
        z = z.sign() * (z.abs() - 0.1 * step).clamp_min(0)
    torch.testing.assert_close(code.codes, z, atol=1e-12, rtol=0)
    torch.testing.assert_close(code.residual, x - z @ dictionary, atol=1e-12, rtol=0)


def test_half_precision_is_coded_in_float32() -> None:
    x, dictionary = make_problem(5, 16, 30, dtype=torch.float32)
    half = lasso(x.bfloat16(), dictionary.bfloat16(), 0.1)
    full = lasso(x.bfloat16().float(), dictionary.bfloat16().float(), 0.1)
    assert half.codes.dtype == torch.float32
    assert torch.equal(half.codes, full.codes)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 6), st.integers(1, 12), st.integers(1, 30), st.floats(0.01, 0.5),
    st.floats(0.1, 10), st.integers(0, 10**6),
)  # fmt: skip
def test_scaling_permuting_and_residual(
    n_signals: int, n_features: int, n_atoms: int, alpha: float, scale: float, seed: int
) -> None:
    x, dictionary = make_problem(n_signals, n_features, n_atoms, seed=seed)
    code = lasso(x, dictionary, alpha)
    torch.testing.assert_close(code.residual, x - code.codes @ dictionary, atol=1e-12, rtol=0)
    assert code.is_converged.all()
    scaled = lasso(scale * x, dictionary, scale * alpha)
    torch.testing.assert_close(scaled.codes @ dictionary, scale * code.codes @ dictionary,
                               atol=1e-4 * scale, rtol=0)  # fmt: skip
    order = torch.randperm(n_atoms, generator=torch.Generator().manual_seed(seed))
    permuted = lasso(x, dictionary[order], alpha)
    ours = lasso_objective(x, dictionary[order], permuted.codes, alpha)
    assert ((ours - lasso_objective(x, dictionary, code.codes, alpha)).abs() <= 1e-9).all()


def test_what_would_wait_is_refused_while_a_cuda_graph_is_captured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, dictionary = make_problem(4, 8, 12)
    # the state of a GPU that is not here; tests/backends/test_triton_lasso.py captures on one
    monkeypatch.setattr(lasso_solve, "is_captured", lambda x: True)
    fixed: dict[str, Any] = {"algorithm": "ista", "tol": 0.0, "max_iter": 3}
    assert (lasso(x, dictionary, 0.1, **fixed).n_iter == 3).all()
    for options, got in (
        ({"algorithm": "active_set", "tol": None}, "tol=1e-10"),
        ({"tol": 1e-3}, "tol=0.001"),
        ({"layout": "compact"}, "layout='compact'"),
        ({"backend": "reference"}, "backend 'reference'$"),
    ):
        with pytest.raises(ValueError, match=f"while a CUDA graph is captured.*got .*{got}"):
            lasso(x, dictionary, 0.1, **(fixed | options))
    with pytest.raises(ValueError, match="backend 'reference' to record the steps"):
        lasso(x.requires_grad_(), dictionary, 0.1, **fixed)
