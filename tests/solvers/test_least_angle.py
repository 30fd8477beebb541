"""Least angle regression: the conditions that define it, and scikit-learn's."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from sparsedef.solvers.least_angle import least_angle
from sparsedef.testing import TOLERANCES, make_problem

DTYPES = (torch.float32, torch.float64)


def problem(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    x, dictionary = make_problem(60, 20, 50, dtype=dtype)
    return x, dictionary * torch.linspace(1, 2, 50, dtype=dtype)[:, None]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_steps", [1, 2, 7])
def test_chosen_atoms_correlate_alike_and_one_more_draws_level(
    n_steps: int, dtype: torch.dtype
) -> None:
    x, dictionary = problem(dtype)
    codes = least_angle(x, dictionary, n_steps)
    assert ((codes != 0).sum(dim=1) == n_steps).all()
    correlations = ((x - codes @ dictionary) @ dictionary.T).abs()
    chosen = correlations.masked_fill(codes == 0, torch.nan)
    level = correlations.amax(dim=1)
    close = {"rtol": 0, "atol": TOLERANCES[dtype].close}
    assert torch.allclose(chosen.nan_to_num(nan=-1).amax(dim=1), level, **close)
    assert torch.allclose(chosen.nan_to_num(nan=9).amin(dim=1), level, **close)
    others = correlations.masked_fill(codes != 0, 0).amax(dim=1)
    assert torch.allclose(others, level, **close)


def test_orthonormal_atoms_are_shrunk_by_the_next_largest_correlation() -> None:
    x = torch.tensor([[5.0, -3.0, 2.0, 1.0]])
    for n_steps, wanted in [(1, [2, 0, 0, 0]), (2, [3, -1, 0, 0]), (4, [5, -3, 2, 1])]:
        codes = least_angle(x, torch.eye(4), n_steps)
        assert torch.allclose(codes, torch.tensor([wanted]).float())


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_steps_end_at_least_squares(dtype: torch.dtype) -> None:
    x, dictionary = make_problem(40, 20, 12, dtype=dtype)
    codes = least_angle(x, dictionary, 12)
    best = torch.linalg.lstsq(dictionary.T, x.T).solution.T
    torch.testing.assert_close(codes, best, rtol=0, atol=TOLERANCES[dtype].close)


def test_a_dependent_atom_never_joins() -> None:
    x, dictionary = problem()
    codes = least_angle(x, dictionary, 5)
    more = least_angle(x, torch.cat([dictionary, dictionary]), 5)
    first, second = more[:, :50], more[:, 50:]
    assert not ((first != 0) & (second != 0)).any()  # which of two equal atoms is left to rounding
    torch.testing.assert_close(first + second, codes)


def test_a_signals_size_and_its_neighbours_do_not_matter() -> None:
    x, dictionary = problem()
    codes = least_angle(x, dictionary, 6)
    for scale in (2.0**-300, 2.0**300):
        assert torch.equal(least_angle(scale * x, dictionary, 6), scale * codes)
    torch.testing.assert_close(least_angle(x[7:8], dictionary, 6), codes[7:8])


def test_zero_and_broken_signals_leave_the_others_alone() -> None:
    x, dictionary = problem()
    codes = least_angle(x, dictionary, 6)
    x[3], x[5] = 0, torch.nan
    found = least_angle(x, dictionary, 6)
    assert not found[3].any()
    assert found[5].isnan().all()
    others = [i for i in range(60) if i not in (3, 5)]
    torch.testing.assert_close(found[others], codes[others])


@pytest.mark.parametrize(("sizes", "n_steps"), [((20, 50), 3), ((64, 128), 16), ((33, 20), 20)])
def test_codes_equal_scikit_learns_where_it_lets_an_atom_join_each_step(
    sizes: tuple[int, int], n_steps: int
) -> None:
    sklearn: Any = pytest.importorskip("sklearn.decomposition", reason="needs scikit-learn")
    x, dictionary = make_problem(300, *sizes)
    dictionary = 3 * dictionary
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch.from_numpy(
            sklearn.sparse_encode(
                x.numpy(), dictionary.numpy(), algorithm="lars", n_nonzero_coefs=n_steps
            )
        )
    # Where a code changes its sign, theirs spends a step on it, and so has fewer atoms.
    is_plain = (theirs != 0).sum(dim=1) == n_steps
    assert is_plain.float().mean() > 0.3
    codes = least_angle(x, dictionary, n_steps)
    torch.testing.assert_close(codes[is_plain], theirs[is_plain], rtol=0, atol=1e-10)
