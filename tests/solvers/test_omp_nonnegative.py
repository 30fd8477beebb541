"""Nonnegative OMP: a slow second implementation, NNLS where they must meet, and recovery."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from sparsedef import omp
from sparsedef.backends import Problem
from sparsedef.testing import TOLERANCES, able_backends, make_problem

RULES = ["omp", "ols"]
CASES = [
    pytest.param({"selection": rule, "nonnegative": True, "backend": name}, id=f"{rule}-{name}")
    for rule in RULES
    for name in able_backends(
        Problem(
            "omp", 8, 16, 32, torch.float64, torch.device("cpu"),
            {"n_nonzero": 8, "selection": rule, "nonnegative": True},
        )
    )
]  # fmt: skip
cases = pytest.mark.parametrize("how", CASES)
# M, N, K, what the problem is like
SIZES = [(16, 40, 6, "signed"), (12, 60, 9, "signed"), (30, 20, 20, "signed"),
         (16, 40, 10, "positive"), (24, 80, 20, "positive")]  # fmt: skip


@pytest.fixture
def nnls() -> Callable[..., tuple[np.ndarray, float]]:
    return pytest.importorskip("scipy.optimize", reason="scipy is not installed").nnls


def draw(n: int, n_features: int, n_atoms: int, kind: str, seed: int = 5) -> tuple[Tensor, Tensor]:
    """Positive atoms overlap much, so that fits turn negative and atoms leave."""
    x, dictionary = make_problem(n, n_features, n_atoms, correlation=0.3, seed=seed)
    if kind == "positive":
        x, dictionary = x.abs(), dictionary.abs()
    return x, torch.nn.functional.normalize(dictionary, dim=1)


def slow_pursuit(
    x: np.ndarray, atoms: np.ndarray, k: int, rule: str, nnls: Callable[..., tuple]
) -> tuple[list[int], np.ndarray, list[int]]:
    """The rule word for word for one signal; the fit of old support and new atom is an NNLS.

    Returns:
        The support in the order of entry, its codes, the atoms that were dropped.
    """
    support, codes, dropped = [], np.zeros(0), []
    noise = 32 * np.finfo(np.float64).eps * np.abs(atoms @ x).max()
    for _ in range(3 * k + 10):
        correlations = atoms @ (x - codes @ atoms[support])
        score = np.where(correlations > noise, correlations, 0)
        score[support] = 0
        if rule == "ols":
            for j in np.flatnonzero(score):
                inside = np.linalg.lstsq(atoms[support].T, atoms[j], rcond=None)[0]
                score[j] **= 2
                score[j] /= np.square(atoms[j] - inside @ atoms[support]).sum()
        if len(support) == k or score.max() <= 0:
            break
        support = [*support, int(score.argmax())]
        codes = nnls(atoms[support].T, x)[0]
        dropped += [atom for atom, code in zip(support, codes, strict=True) if code == 0]
        support = [atom for atom, code in zip(support, codes, strict=True) if code > 0]
        codes = codes[codes > 0]
    return support, codes, dropped


@cases
@pytest.mark.parametrize(("n_features", "n_atoms", "k", "kind"), SIZES)
def test_it_is_the_slow_pursuit(
    n_features: int, n_atoms: int, k: int, kind: str, how: dict, nnls: Callable[..., tuple]
) -> None:
    x, dictionary = draw(60, n_features, n_atoms, kind)
    code = omp(x, dictionary, k, layout="compact", **how)
    total = 0
    for row in range(60):
        support, codes, dropped = slow_pursuit(
            x[row].numpy(), dictionary.numpy(), k, how["selection"], nnls
        )
        n = int(code.n_iter[row])
        assert code.indices[row].tolist() == support + [-1] * (k - n)
        np.testing.assert_allclose(code.values[row, :n].numpy(), codes, atol=1e-9)
        total += len(dropped)
    assert code.is_converged.all()
    assert total > 0 or (kind == "signed" and how["selection"] == "omp")


@cases
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_codes_are_positive_and_the_best_of_their_support(dtype: torch.dtype, how: dict) -> None:
    x, dictionary = (each.to(dtype) for each in draw(300, 24, 80, "positive"))
    code = omp(x, dictionary, 12, layout="compact", **how)
    is_used = code.indices >= 0
    assert torch.equal(code.values > 0, is_used)
    assert (code.values[~is_used] == 0).all()
    assert torch.equal(is_used.sum(dim=1).int(), code.n_iter)
    support = code.indices.sort(dim=1).values
    assert ((support[:, 1:] > support[:, :-1]) | (support[:, :-1] < 0)).all()  # none twice
    on_support = (code.residual @ dictionary.mT).gather(1, code.indices.clamp_min(0))
    assert on_support[is_used].abs().max() <= 10 * TOLERANCES[dtype].orthogonal


@cases
def test_without_a_limit_it_solves_nonnegative_least_squares(
    how: dict, nnls: Callable[..., tuple]
) -> None:
    x, dictionary = draw(80, 30, 20, "positive")
    code = omp(x, dictionary, 20, **how)
    assert code.is_converged.all()
    for row in range(80):
        best, _ = nnls(dictionary.numpy().T, x[row].numpy())
        np.testing.assert_allclose(code.codes[row].numpy(), best, atol=1e-9)
    assert (code.n_iter < 20).any()


@cases
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_positive_code_over_incoherent_atoms_is_found(dtype: torch.dtype, how: dict) -> None:
    # Identity and Hadamard have coherence 1/8: 4 < (1 + 8) / 2 atoms are found (Bruckstein,
    # Elad, Zibulevsky, 2008).
    hadamard = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(6):
        hadamard = torch.kron(hadamard, torch.tensor([[1.0, 1], [1, -1]], dtype=torch.float64))
    dictionary = torch.cat([torch.eye(64, dtype=torch.float64), hadamard / 8]).to(dtype)
    generator = torch.Generator().manual_seed(0)
    truth = torch.zeros(200, 128, dtype=dtype)
    chosen = torch.rand(200, 128, generator=generator).topk(4).indices
    truth.scatter_(1, chosen, 0.5 + torch.rand(200, 4, generator=generator, dtype=dtype))
    code = omp(truth @ dictionary, dictionary, 20, **how)
    torch.testing.assert_close(code.codes, truth, atol=TOLERANCES[dtype].close, rtol=0)
    assert code.is_converged.all()


@cases
def test_where_no_atom_points_along_the_signal_there_is_no_code(how: dict) -> None:
    _, dictionary = draw(1, 16, 40, "positive")
    x = -dictionary[:5]
    code = omp(x, dictionary, 6, layout="compact", **how)
    assert (code.indices == -1).all()
    assert (code.n_iter == 0).all()
    assert torch.equal(code.residual, x)
    assert code.is_converged.all()


@cases
def test_it_equals_signed_omp_where_that_is_positive_all_along(how: dict) -> None:
    # Orthonormal atoms: no code ever changes, so the positive correlations are the whole story.
    x, dictionary = make_problem(30, 20, 20)
    dictionary = torch.linalg.qr(dictionary).Q.contiguous()
    positive = (x @ dictionary.mT).clamp_min(0)
    signed = omp(positive @ dictionary, dictionary, 5, **(how | {"nonnegative": False}))
    code = omp(x, dictionary, 5, **how)
    torch.testing.assert_close(code.codes, signed.codes, atol=1e-12, rtol=0)


@cases
def test_an_atom_that_was_dropped_may_come_back(how: dict, nnls: Callable[..., tuple]) -> None:
    x, dictionary = draw(200, 16, 40, "positive")
    atoms = dictionary.numpy()
    slow = [slow_pursuit(row.numpy(), atoms, 15, how["selection"], nnls) for row in x]
    rows = [row for row, (_, _, dropped) in enumerate(slow) if len(set(dropped)) < len(dropped)]
    rows += [row for row, (support, _, dropped) in enumerate(slow) if set(dropped) & set(support)]
    assert rows
    code = omp(x[rows], dictionary, 15, layout="compact", **how)
    for found, row in zip(code.indices.tolist(), rows, strict=True):
        assert [atom for atom in found if atom >= 0] == slow[row][0]
