"""OMP: what must be true of a greedy code."""

import pytest
import torch

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


def test_layouts_hold_the_same_code() -> None:
    x, dictionary = make_problem(12, 10, 25)
    dense, compact = (omp(x, dictionary, 4, layout=name) for name in ("dense", "compact"))
    assert compact.indices.shape == (12, 4)
    torch.testing.assert_close(compact.to_dense(25), dense.codes, atol=0, rtol=0)
