"""OMP: what must be true of a greedy code, then scikit-learn, then the corners."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsedef import Status, omp
from sparsedef.testing import TOLERANCES, make_problem

DTYPES = [torch.float32, torch.float64]
BACKENDS = ["auto", "reference"]
RULES = ["omp", "ols"]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("selection", RULES)
def test_residual_is_orthogonal_to_the_support(
    selection: str, backend: str, dtype: torch.dtype
) -> None:
    x, dictionary = make_problem(60, 32, 100, dtype=dtype, correlation=0.2)
    code = omp(x, dictionary, 8, selection=selection, backend=backend)
    torch.testing.assert_close(
        code.residual, x - code.codes @ dictionary, atol=TOLERANCES[dtype].close, rtol=0
    )
    left = (code.residual @ dictionary.mT)[code.codes != 0]
    assert left.abs().max() <= TOLERANCES[dtype].orthogonal
    assert (code.n_nonzero == 8).all()
    assert (code.n_iter == 8).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_choice_is_the_greedy_one(backend: str) -> None:
    x, dictionary = make_problem(20, 16, 40)
    for k in range(5):
        before = omp(x, dictionary, k, backend=backend).residual if k else x
        atom = omp(x, dictionary, k + 1, layout="compact", backend=backend).indices[:, k]
        assert torch.equal(atom, (before @ dictionary.mT).abs().argmax(dim=1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_ols_lowers_the_residual_most(backend: str) -> None:
    x, dictionary = make_problem(6, 10, 15)
    first = omp(x, dictionary, 2, selection="ols", layout="compact", backend=backend)
    found = omp(x, dictionary, 3, selection="ols", layout="compact", backend=backend)
    for row in range(6):
        energy = []
        for atom in range(15):
            support = torch.cat([first.indices[row], torch.tensor([atom])])
            fit = torch.linalg.lstsq(dictionary[support].mT, x[row, :, None]).solution
            energy.append((x[row] - dictionary[support].mT @ fit[:, 0]).square().sum())
        best = torch.stack(energy).min()
        torch.testing.assert_close(found.residual[row].square().sum(), best, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_supports_equal_scikit_learns(backend: str) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, dictionary = make_problem(10_000, 20, 50)
    code = omp(x, dictionary, 5, backend=backend)
    theirs = linear_model.orthogonal_mp_gram(
        (dictionary @ dictionary.mT).numpy(), (dictionary @ x.mT).numpy(), n_nonzero_coefs=5
    )
    theirs = torch.as_tensor(theirs).mT
    assert torch.equal(code.codes != 0, theirs != 0)
    torch.testing.assert_close(code.codes, theirs, atol=1e-9, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("selection", RULES)
def test_recovery_is_exact_when_coherence_allows(selection: str, backend: str) -> None:
    # Coherence below 1 / (2 K - 1) guarantees recovery (Tropp, 2004): identity and Hadamard.
    hadamard = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(6):
        hadamard = torch.kron(hadamard, torch.tensor([[1.0, 1], [1, -1]], dtype=torch.float64))
    dictionary = torch.cat([torch.eye(64, dtype=torch.float64), hadamard / 8])
    generator = torch.Generator().manual_seed(0)
    truth = torch.zeros(100, 128, dtype=torch.float64)
    chosen = torch.rand(100, 128, generator=generator).topk(4).indices
    drawn = torch.randn(100, 4, generator=generator, dtype=torch.float64)
    truth.scatter_(1, chosen, drawn.sign() + drawn)
    # More atoms are allowed than the signals have: the answer is right, and the pursuit stops.
    code = omp(truth @ dictionary, dictionary, 20, selection=selection, backend=backend)
    torch.testing.assert_close(code.codes, truth, atol=1e-10, rtol=0)
    assert torch.equal(code.n_iter, torch.full((100,), 4, dtype=torch.int32))
    assert code.is_converged.all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("selection", RULES)
def test_full_support_leaves_no_residual(selection: str, backend: str, dtype: torch.dtype) -> None:
    x, dictionary = make_problem(50, 16, 64, dtype=dtype)
    code = omp(x, dictionary, 16, selection=selection, backend=backend)
    assert code.residual.abs().max() <= TOLERANCES[dtype].close


@pytest.mark.parametrize("backend", BACKENDS)
def test_tol_stops_each_signal_at_its_squared_residual(backend: str) -> None:
    x, dictionary = make_problem(40, 24, 80)
    tol = torch.linspace(0.05, 1.2, 40, dtype=torch.float64)
    code = omp(x, dictionary, 24, tol=tol, backend=backend)
    assert (code.residual.square().sum(dim=1) <= tol + 1e-12).all()
    for row in range(40):
        n = int(code.n_iter[row])
        if n == 0:
            assert tol[row] >= 1
            continue
        shorter = x[row : row + 1] if n == 1 else omp(x[row : row + 1], dictionary, n - 1).residual
        assert shorter.square().sum() > tol[row]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("selection", RULES)
def test_ties_go_to_the_lowest_index(selection: str, backend: str) -> None:
    dictionary = torch.eye(4)[[2, 1, 1, 0, 2]]
    x = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    code = omp(x, dictionary, 4, selection=selection, layout="compact", backend=backend)
    assert code.indices.tolist() == [[0, 1, 3, -1]]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("selection", RULES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_corner_signals_and_atoms_stay_finite(
    dtype: torch.dtype, selection: str, backend: str
) -> None:
    x, dictionary = make_problem(6, 8, 10, dtype=dtype)
    zero = torch.zeros(1, 8, dtype=dtype)
    near = torch.nn.functional.normalize(dictionary + 1e-4 * dictionary.roll(1, 0), dim=1)
    atoms = torch.cat([zero, dictionary, dictionary, near])
    signals = torch.cat([zero, x, 1e-20 * x[:1], 1e10 * x[:1]])
    code = omp(signals, atoms, 8, selection=selection, backend=backend)
    assert code.codes.isfinite().all()
    assert (code.codes[:, 0] == 0).all()
    assert code.n_iter[0] == 0
    assert code.status[0] == Status.CONVERGED
    residual = code.residual.norm(dim=1) / signals.norm(dim=1).clamp_min(1e-30)
    assert residual.max() <= 1e-2


@pytest.mark.parametrize("backend", BACKENDS)
def test_running_out_of_independent_atoms_is_said(backend: str) -> None:
    x = torch.tensor([[1.0, 2.0, 3.0]])
    dictionary = torch.eye(3)[[0, 1, 0, 1]]
    code = omp(x, dictionary, 3, backend=backend)
    assert code.n_iter.tolist() == [2]
    assert code.residual.tolist() == [[0.0, 0.0, 3.0]]
    assert code.status.tolist() in ([int(Status.CONVERGED)], [int(Status.EXHAUSTED)])


def test_normalize_selects_with_unit_atoms_and_codes_the_given_ones() -> None:
    x, dictionary = make_problem(10, 12, 30)
    scale = torch.linspace(0.1, 5, 30, dtype=torch.float64)
    unit = omp(x, dictionary, 4)
    given_atoms = omp(x, dictionary * scale[:, None], 4, normalize=True)
    torch.testing.assert_close(given_atoms.codes * scale, unit.codes, atol=1e-10, rtol=0)
    torch.testing.assert_close(given_atoms.residual, unit.residual, atol=1e-10, rtol=0)


def test_layouts_hold_the_same_code() -> None:
    x, dictionary = make_problem(12, 10, 25)
    dense, compact = (omp(x, dictionary, 4, layout=name) for name in ("dense", "compact"))
    assert compact.indices.shape == (12, 4)
    torch.testing.assert_close(compact.to_dense(25), dense.codes, atol=0, rtol=0)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 6), st.integers(1, 12), st.integers(1, 30), st.integers(1, 8),
    st.floats(0.1, 10), st.sampled_from(RULES), st.integers(0, 10**6),
)  # fmt: skip
def test_scaling_permuting_residual_and_support_size(
    n_signals: int, n_features: int, n_atoms: int, k: int, scale: float, rule: str, seed: int
) -> None:
    x, dictionary = make_problem(n_signals, n_features, n_atoms, seed=seed)
    k = min(k, n_features, n_atoms)
    code = omp(x, dictionary, k, selection=rule)
    assert (code.n_nonzero <= k).all()
    torch.testing.assert_close(code.residual, x - code.codes @ dictionary, atol=1e-10, rtol=0)
    scaled = omp(scale * x, dictionary, k, selection=rule)
    torch.testing.assert_close(scaled.residual, scale * code.residual, atol=1e-6, rtol=0)
    order = torch.randperm(n_atoms, generator=torch.Generator().manual_seed(seed))
    permuted = omp(x, dictionary[order], k, selection=rule)
    torch.testing.assert_close(permuted.residual, code.residual, atol=1e-6, rtol=0)
