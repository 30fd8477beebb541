"""What the drop-in for scikit-learn's ``sparse_encode`` takes, gives and says."""

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import sparsedef
from sparsedef import sparse_encode
from sparsedef.backends import Problem
from sparsedef.solvers.coding import CODERS
from sparsedef.testing import TOLERANCES, able_backends, lasso_objective, make_problem

LASSO = ("lasso_lars", "lasso_cd")
DTYPES = (torch.float32, torch.float64)


def problem(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Signals of norm 3, atoms of norms from 1 to 2."""
    x, dictionary = make_problem(30, 20, 50, dtype=dtype)
    return 3 * x, dictionary * torch.linspace(1, 2, 50, dtype=dtype)[:, None]


@pytest.mark.parametrize("algorithm", CODERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_and_tensors_get_back_their_like(algorithm: str, dtype: torch.dtype) -> None:
    x, dictionary = problem(dtype)
    codes = sparse_encode(x, dictionary, algorithm=algorithm)
    array = sparse_encode(x.numpy(), dictionary.numpy(), algorithm=algorithm)
    assert type(codes) is Tensor
    assert type(array) is np.ndarray
    assert codes.dtype == dtype
    assert codes.shape == (30, 50)
    assert np.array_equal(codes.numpy(), array)


@pytest.mark.parametrize(
    ("kind", "atoms", "wanted"),
    [
        (np.float32, np.float32, np.float32),
        (np.float32, np.float64, np.float64),
        (np.float64, np.float32, np.float64),
        (np.int32, np.float32, np.float64),
        (np.float16, np.float32, np.float64),
        (np.dtype(">f8"), np.float32, np.float64),
        (bool, np.float64, np.float64),
    ],
)
def test_other_dtypes_become_float64_and_the_wider_wins(kind: Any, atoms: Any, wanted: Any) -> None:
    codes = sparse_encode(np.eye(3).astype(kind), np.eye(3).astype(atoms), alpha=0.25)
    assert codes.dtype == wanted
    assert np.array_equal(codes, 0.75 * np.eye(3))


def test_tensors_of_half_precision_become_float32() -> None:
    assert sparse_encode(torch.eye(3).half(), torch.eye(3).half()).dtype == torch.float32


@pytest.mark.parametrize(
    "lay_out",
    [
        np.asfortranarray,
        lambda array: np.repeat(array, 2, axis=1)[:, ::2],
        lambda array: array[::-1][::-1],
        lambda array: np.broadcast_to(array, array.shape),  # read-only
        lambda array: array.tolist(),
    ],
)
def test_any_layout_gives_the_same_codes_and_is_left_alone(lay_out: Any) -> None:
    x, dictionary = (each.numpy() for each in problem())
    given = lay_out(x), lay_out(dictionary)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codes = sparse_encode(*given, alpha=0.3)
    assert np.array_equal(codes, sparse_encode(x, dictionary, alpha=0.3))
    assert np.array_equal(given[0], x)
    assert np.array_equal(given[1], dictionary)


@pytest.mark.parametrize("algorithm", LASSO)
@pytest.mark.parametrize("positive", [False, True])
def test_both_lassos_give_the_minimum_without_1_over_m(algorithm: str, positive: bool) -> None:
    x, dictionary = problem()
    codes = sparse_encode(x, dictionary, algorithm=algorithm, alpha=0.3, positive=positive)
    best = sparsedef.lasso(x, dictionary, 0.3, nonnegative=positive, algorithm="fista").codes
    assert best is not None
    ours, least = (lasso_objective(x, dictionary, each, 0.3) for each in (codes, best))
    torch.testing.assert_close(ours, least, rtol=TOLERANCES[x.dtype].objective, atol=0)
    assert not positive or (codes >= 0).all()


def test_alpha_is_one_by_default_and_may_differ_by_signal() -> None:
    x, dictionary = problem()
    for algorithm in (*LASSO, "threshold"):
        alone = [sparse_encode(x, dictionary, algorithm=algorithm, alpha=a) for a in (0.2, 1)]
        each = np.where(np.arange(30) < 10, 0.2, 1)
        mixed = sparse_encode(x, dictionary, algorithm=algorithm, alpha=each)
        torch.testing.assert_close(mixed, torch.cat([alone[0][:10], alone[1][10:]]))
        default = sparse_encode(x, dictionary, algorithm=algorithm)
        assert torch.equal(default, sparse_encode(x, dictionary, algorithm=algorithm, alpha=1.0))


def test_omp_chooses_atoms_as_they_are_and_fits_by_least_squares() -> None:
    x, dictionary = torch.tensor([[1.0, 0.9]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    raw = sparse_encode(x, dictionary, algorithm="omp", n_nonzero_coefs=1)
    assert torch.allclose(raw, torch.tensor([[0.0, 0.45]]))  # 2 * 0.9 > 1
    scaled = sparsedef.omp(x, dictionary, 1, normalize=True).codes
    assert scaled is not None
    assert torch.allclose(scaled, torch.tensor([[1.0, 0.0]]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_omp_equals_the_solver_where_atoms_have_one_norm(dtype: torch.dtype) -> None:
    x, dictionary = make_problem(30, 20, 50, dtype=dtype)
    codes = sparse_encode(x, dictionary, algorithm="omp", n_nonzero_coefs=4)
    assert torch.equal(codes, sparsedef.omp(x, dictionary, 4).to_dense(50))


def able(device: str) -> list[str]:
    options = {"selection": "omp", "n_nonzero": 8, "nonnegative": False, "limits": False}
    where = torch.device(device)
    return able_backends(Problem("omp", 200, 32, 96, torch.float32, where, options))


def assert_long_atoms_make_no_difference(backend: str, device: str) -> None:
    """All kernels of the rule must take atoms of any norm; ``sparsedef.omp`` never gives them."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(200, 32, generator=draw)
    atoms = torch.randn(96, 32, generator=draw) * 10 ** torch.randn(96, 1, generator=draw)
    options = {"algorithm": "omp", "n_nonzero_coefs": 8}
    codes = sparse_encode(x.to(device), atoms.to(device), backend=backend, **options).cpu()
    wanted = sparse_encode(x.double(), atoms.double(), backend="reference", **options)
    is_same = ((codes != 0) == (wanted != 0)).all(dim=1)
    assert is_same.float().mean() > 0.98  # choices that float32 cannot tell apart
    rebuilt, best = codes.double() @ atoms.double(), wanted @ atoms.double()
    assert (rebuilt - best)[is_same].abs().max() < 1e-3


@pytest.mark.parametrize("backend", able("cpu"))
def test_omp_takes_atoms_of_any_norm_on_every_backend(backend: str) -> None:
    assert_long_atoms_make_no_difference(backend, "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_omp_takes_atoms_of_any_norm_on_a_gpu() -> None:
    for backend in able("cuda"):
        assert_long_atoms_make_no_difference(backend, "cuda")


def test_n_nonzero_is_a_tenth_of_the_features_by_default() -> None:
    for n_features, wanted in [(9, 1), (20, 2), (39, 3), (400, 5)]:
        x, dictionary = make_problem(4, n_features, 5)
        for algorithm in ("omp", "lars"):
            codes = sparse_encode(x, dictionary, algorithm=algorithm)
            assert ((codes != 0).sum(dim=1) == wanted).all()


def test_threshold_shrinks_the_correlations_or_those_it_is_given() -> None:
    x, dictionary = problem()
    shrunk = torch.nn.functional.softshrink(x @ dictionary.T, 0.5)
    codes = sparse_encode(x, dictionary, algorithm="threshold", alpha=0.5)
    torch.testing.assert_close(codes, shrunk)
    cov = 2 * dictionary @ x.T
    codes = sparse_encode(x, dictionary, algorithm="threshold", alpha=1.0, cov=cov, positive=True)
    torch.testing.assert_close(codes, 2 * shrunk.clamp_min(0))


def test_gradients_reach_tensors() -> None:
    x, dictionary = make_problem(3, 6, 8, seed=3)
    x.requires_grad_()
    dictionary.requires_grad_()
    for algorithm in (*LASSO, "omp", "threshold"):

        def loss(*inputs: Tensor, algorithm: str = algorithm) -> Any:
            return sparse_encode(*inputs, algorithm=algorithm, alpha=ALPHA[algorithm])

        assert torch.autograd.gradcheck(loss, (x, dictionary), atol=1e-4)


ALPHA = {"lasso_lars": 0.2, "lasso_cd": 0.2, "omp": None, "threshold": 0.2}


def test_init_starts_the_lasso_and_does_not_move_its_end() -> None:
    x, dictionary = problem()
    cold = sparse_encode(x, dictionary, algorithm="lasso_cd", alpha=0.3)
    for init in (cold, -cold, np.ones((30, 50), np.float32)):
        for positive in (False, True):
            options = {"algorithm": "lasso_cd", "alpha": 0.3, "positive": positive}
            warm = sparse_encode(x, dictionary, init=init, **options)
            torch.testing.assert_close(warm, sparse_encode(x, dictionary, **options))
    assert torch.equal(sparse_encode(x, dictionary, init=cold, max_iter=0), 0 * cold)  # of lars
    kept = sparse_encode(x, dictionary, algorithm="lasso_cd", init=cold, max_iter=0)
    assert torch.equal(kept, cold)


def test_too_few_rounds_are_said() -> None:
    x, dictionary = make_problem(20, 64, 128, correlation=0.9)
    with pytest.warns(UserWarning, match="of 20 signals are not at the minimum after max_iter=1"):
        sparse_encode(x, dictionary, alpha=1e-3, max_iter=1)


def test_more_atoms_than_can_be_independent_are_lowered_and_said() -> None:
    with pytest.warns(UserWarning, match=r"n_nonzero=4 is more than min\(M, N\) = 3"):
        codes = sparse_encode(torch.ones(1, 3), torch.eye(3), algorithm="omp", n_nonzero_coefs=4)
    assert torch.allclose(codes, torch.ones(1, 3))


def test_dependent_atoms_end_omp_early_and_are_said() -> None:
    dictionary = torch.eye(3, dtype=torch.float64)
    dictionary[1] = dictionary[0] + 1e-5 * dictionary[2]
    x = torch.tensor([[1.0, 0.0, 1.0], [2.0, 0.0, 0.0]], dtype=torch.float64)
    with pytest.warns(RuntimeWarning, match="1 of 2 signals have fewer atoms than asked for"):
        codes = sparse_encode(x, dictionary[:2], algorithm="omp", n_nonzero_coefs=2)
    assert (codes != 0).tolist() == [[False, True], [True, False]]


def test_an_alpha_that_does_nothing_is_said() -> None:
    for algorithm in ("omp", "lars"):
        with pytest.warns(UserWarning, match=f"alpha has no part in '{algorithm}'"):
            sparse_encode(torch.eye(2), torch.eye(2), algorithm=algorithm, alpha=0.1)


def test_what_is_accepted_for_compatibility_changes_nothing() -> None:
    x, dictionary = problem()
    gram, cov = dictionary @ dictionary.T, dictionary @ x.T
    for algorithm in CODERS:
        plain = sparse_encode(x, dictionary, algorithm=algorithm)
        options = {"gram": gram, "cov": cov, "n_jobs": -1, "verbose": 2, "copy_cov": False}
        full = sparse_encode(x, dictionary, algorithm=algorithm, check_input=False, **options)
        torch.testing.assert_close(full, plain)
    assert torch.equal(cov, dictionary @ x.T)


def test_an_empty_batch_is_coded() -> None:
    for algorithm in CODERS:
        assert sparse_encode(np.zeros((0, 4)), np.eye(4), algorithm=algorithm).shape == (0, 4)


@pytest.mark.parametrize("algorithm", CODERS)
def test_a_signal_that_is_not_finite_is_refused_or_alone_gets_nan(algorithm: str) -> None:
    x, dictionary = problem()
    clean = sparse_encode(x, dictionary, algorithm=algorithm)
    x[7, 3] = torch.nan
    with pytest.raises(ValueError, match="X must be finite"):
        sparse_encode(x, dictionary, algorithm=algorithm)
    codes = sparse_encode(x, dictionary, algorithm=algorithm, check_input=False)
    assert codes[7].isnan().all()
    others = torch.arange(30) != 7
    assert torch.equal(codes[others], clean[others])


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"algorithm": "lasso"}, ValueError, "algorithm must be one of"),
    ({"n_nonzero_coefs": 0}, ValueError, "n_nonzero_coefs must be at least 1, got 0"),
    ({"n_nonzero_coefs": 2.0}, TypeError, "n_nonzero_coefs must be an int, got float"),
    ({"max_iter": -1}, ValueError, "max_iter must be at least 0, got -1"),
    ({"n_jobs": "all"}, TypeError, "n_jobs must be an int"),
    ({"alpha": -1.0}, ValueError, "alpha must be finite and >= 0"),
    ({"alpha": np.ones(4)}, ValueError, r"alpha must be a number or \[5\], got \[4\]"),
    ({"alpha": np.nan}, ValueError, "alpha must be finite and >= 0"),
    ({"algorithm": "omp", "positive": True}, ValueError, "positive codes need"),
    ({"algorithm": "lars", "positive": True}, ValueError, "positive codes need"),
    ({"gram": np.eye(4)}, ValueError, r"gram must be \[3, 3\], got \[4, 4\]"),
    ({"cov": np.ones((5, 3))}, ValueError, r"cov must be \[3, 5\], got \[5, 3\]"),
    ({"init": np.ones((3, 5))}, ValueError, r"init must be \[5, 3\], got \[3, 5\]"),
    ({"X": np.ones(3)}, ValueError, "pass x\\[None\\] for one signal"),
    ({"X": np.ones((5, 2))}, ValueError, "dictionary must be"),
    ({"X": np.ones((5, 3), complex)}, TypeError, "X must be real"),
    ({"X": torch.ones(5, 3, dtype=torch.complex64)}, TypeError, "X must be real"),
]


@pytest.mark.parametrize(("wrong", "kind", "words"), BAD)
def test_mistakes_are_named(wrong: dict[str, Any], kind: type[Exception], words: str) -> None:
    given = {"X": np.ones((5, 3)), "dictionary": np.eye(3), **wrong}
    with pytest.raises(kind, match=words):
        sparse_encode(**given)


def test_sparse_matrices_are_refused_with_a_way_out() -> None:
    sparse = pytest.importorskip("scipy.sparse", reason="no SciPy")
    with pytest.raises(TypeError, match=r"pass its \.toarray"):
        sparse_encode(sparse.eye(3).tocsr(), np.eye(3))


def test_scikit_learn_is_not_imported() -> None:
    code = (
        "import sys, sparsedef; sparsedef.sparse_encode([[1.0]], [[1.0]]);"
        "print('sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
