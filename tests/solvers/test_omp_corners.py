"""OMP where greedy solvers break: nothing to code, twins, near-twins, ties, atoms of any norm."""

import pytest
import torch
from torch import Tensor

from sparsedef import Status, omp
from sparsedef.backends import Problem
from sparsedef.testing import TOLERANCES, able_backends, make_problem

DTYPES = [torch.float32, torch.float64]


def able(**options: object) -> list[str]:
    return able_backends(
        Problem("omp", 8, 16, 32, torch.float64, torch.device("cpu"), {"n_nonzero": 8, **options})
    )


CASES = [
    pytest.param(
        {"selection": rule, "nonnegative": sign, "backend": name},
        id=f"{rule}-{'positive' if sign else 'signed'}-{name}",
    )
    for rule in ("omp", "ols")
    for sign in (False, True)
    for name in able(selection=rule, nonnegative=sign)
]
cases = pytest.mark.parametrize("how", CASES)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def hadamard(n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Orthonormal atoms ``[n, n]``, n a power of 4: entries exact, so ties are ties."""
    result = torch.ones(1, 1, dtype=dtype)
    while len(result) < n:
        result = torch.kron(result, torch.tensor([[0.5, 0.5], [0.5, -0.5]], dtype=dtype) * 2**0.5)
    return (result.sign() / n**0.5).to(dtype)


def spikes_and_waves(dtype: torch.dtype) -> Tensor:
    """Identity and Hadamard, ``[32, 16]``, coherence 1/4."""
    return torch.cat([torch.eye(16, dtype=dtype), hadamard(16, dtype)])


@cases
@dtypes
def test_a_zero_signal_has_no_atoms(dtype: torch.dtype, how: dict) -> None:
    x, dictionary = make_problem(3, 16, 32, dtype=dtype)
    x[1] = 0
    code = omp(x, dictionary, 5, layout="compact", **how)
    assert code.indices[1].tolist() == [-1] * 5
    assert (code.values[1] == 0).all()
    assert (code.residual[1] == 0).all()
    assert code.n_iter[1] == 0
    assert code.status[1] == Status.CONVERGED
    assert (code.n_iter[::2] > 0).all()


@cases
@dtypes
def test_a_signal_sparser_than_k_gets_no_more_atoms_than_it_has(
    dtype: torch.dtype, how: dict
) -> None:
    dictionary = spikes_and_waves(dtype)
    truth = torch.zeros(200, 32, dtype=dtype)
    generator = torch.Generator().manual_seed(1)
    chosen = torch.rand(200, 32, generator=generator).topk(2).indices
    truth.scatter_(1, chosen, 1 + torch.rand(200, 2, generator=generator, dtype=dtype))
    truth *= 1 if how["nonnegative"] else (torch.rand(200, 32, generator=generator) - 0.5).sign()
    code = omp(truth @ dictionary, dictionary, 12, **how)
    assert (code.n_iter == 2).all()
    assert code.is_converged.all()
    torch.testing.assert_close(code.codes, truth, atol=TOLERANCES[dtype].close, rtol=0)


@cases
@dtypes
def test_of_twins_the_first_is_taken_and_never_both(dtype: torch.dtype, how: dict) -> None:
    single = spikes_and_waves(dtype)
    x = torch.randint(-9, 9, (40, 16), generator=torch.Generator().manual_seed(2)).to(dtype)
    once = omp(x, single, 3, layout="compact", **how)
    twice = omp(x, single.repeat(3, 1), 3, layout="compact", **how)
    # All correlations of the first step are exact, and so are its ties.
    assert torch.equal(twice.indices[:, 0], once.indices[:, 0])
    assert (twice.indices[:, 0] < 32).all()
    for row in twice.indices % 32:
        support = row[row >= 0].tolist()
        assert len(set(support)) == len(support)
    assert twice.codes is None
    gap = twice.residual - (x - twice.to_dense(96) @ single.repeat(3, 1))
    assert gap.abs().max() <= 40 * TOLERANCES[dtype].close


@cases
@dtypes
def test_a_dictionary_of_twins_codes_like_one_without(dtype: torch.dtype, how: dict) -> None:
    x, single = make_problem(60, 16, 24, dtype=dtype, seed=4)
    once, twice = (omp(x, d, 6, **how) for d in (single, single.repeat(2, 1)))
    folded = twice.codes.view(60, 2, 24).sum(dim=1)
    torch.testing.assert_close(folded, once.codes, atol=TOLERANCES[dtype].close, rtol=0)
    assert torch.equal(twice.n_iter, once.n_iter)


@cases
@dtypes
def test_near_twins_are_told_apart_as_far_as_the_dtype_can(dtype: torch.dtype, how: dict) -> None:
    cosine = 0.999999
    first = torch.eye(16, dtype=torch.float64)[::2]
    second = cosine * first + (1 - cosine**2) ** 0.5 * torch.eye(16, dtype=torch.float64)[1::2]
    dictionary = torch.cat([first, second]).to(dtype)
    weights = torch.rand(50, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x = ((weights + 0.1).to(dtype) @ dictionary).contiguous()
    code = omp(x, dictionary, 16, **how)
    assert code.codes.isfinite().all()
    torch.testing.assert_close(
        code.residual, x - code.codes @ dictionary, atol=10 * TOLERANCES[dtype].close, rtol=0
    )
    left = code.residual.norm(dim=1) / x.norm(dim=1)
    if dtype == torch.float64:  # each pair spans its plane
        assert left.max() <= TOLERANCES[dtype].close
    else:  # the second of a pair depends on the first: what only it can code stays
        assert (code.n_iter == 8).all()
        assert left.max() <= 2 * (1 - cosine**2) ** 0.5


@cases
@dtypes
def test_as_many_atoms_as_features_rebuild_the_signal(dtype: torch.dtype, how: dict) -> None:
    x, dictionary = make_problem(50, 16, 64, dtype=dtype)
    if how["nonnegative"]:  # in a cone: atoms and their negatives
        dictionary = torch.cat([dictionary, -dictionary])
    code = omp(x, dictionary, 16, **how)
    is_full = code.n_iter == 16
    assert is_full.float().mean() > 0.9
    assert code.residual[is_full].abs().max() <= TOLERANCES[dtype].close
    with pytest.warns(UserWarning, match=r"more than min\(M, N\) = 16"):
        assert torch.equal(omp(x, dictionary, 17, **how).codes, code.codes)


@cases
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_bad_row_is_told_and_touches_no_other(bad: float, how: dict) -> None:
    x, dictionary = make_problem(9, 16, 32)
    spoilt = x.clone()
    spoilt[4, 3] = bad
    clean, found = (omp(v, dictionary, 5, layout="compact", **how) for v in (x, spoilt))
    assert found.status[4] == Status.NONFINITE
    assert (found.indices[4] == -1).all()
    assert found.values[4].isnan().all()
    assert found.residual[4].isnan().all()
    assert found.n_iter[4] == 0
    others = torch.arange(9) != 4
    assert torch.equal(found.indices[others], clean.indices[others])
    torch.testing.assert_close(found.values[others], clean.values[others], atol=1e-12, rtol=0)


@cases
def test_exact_ties_go_to_the_lowest_index(how: dict) -> None:
    dictionary = torch.eye(4)[[2, 1, 1, 0, 2]]
    x = torch.tensor([[1.0, 1.0, 1.0, 0.0], [2.0, 1.0, 2.0, 0.0]])
    code = omp(x, dictionary, 4, layout="compact", **how)
    assert code.indices.tolist() == [[0, 1, 3, -1], [0, 3, 1, -1]]
    assert code.values.tolist() == [[1, 1, 1, 0], [2, 2, 1, 0]]


@pytest.mark.parametrize("rule", ["omp", "ols"])
def test_signs_tie_too_and_a_nonnegative_code_ignores_the_negative(rule: str) -> None:
    x = torch.tensor([[1.0, -1.0, -2.0, 1.0]])
    for name in able(selection=rule, nonnegative=False):
        code = omp(x, torch.eye(4), 3, selection=rule, layout="compact", backend=name)
        assert code.indices.tolist() == [[2, 0, 1]]
        assert code.values.tolist() == [[-2, 1, -1]]
    for name in able(selection=rule, nonnegative=True):
        options = {"selection": rule, "layout": "compact", "backend": name, "nonnegative": True}
        code = omp(x, torch.eye(4), 3, **options)
        assert code.indices.tolist() == [[0, 3, -1]]
        assert code.values.tolist() == [[1, 1, 0]]
        assert code.status.tolist() == [Status.CONVERGED]


@cases
def test_atoms_of_other_norms_are_refused_with_the_way_out(how: dict) -> None:
    x, unit = make_problem(20, 16, 32)
    dictionary = unit * torch.linspace(0.1, 5, 32, dtype=torch.float64)[:, None]
    with pytest.raises(ValueError, match="normalize=True"):
        omp(x, dictionary, 4, **how)
    given, expected = omp(x, dictionary, 4, normalize=True, **how), omp(x, unit, 4, **how)
    scale = dictionary.norm(dim=1)
    torch.testing.assert_close(given.codes * scale, expected.codes, atol=1e-10, rtol=0)
    torch.testing.assert_close(given.residual, expected.residual, atol=1e-10, rtol=0)
    torch.testing.assert_close(given.residual, x - given.codes @ dictionary, atol=1e-10, rtol=0)


@cases
@pytest.mark.parametrize("normalize", [False, True])
def test_zero_atoms_are_never_chosen(normalize: bool, how: dict) -> None:
    x, dictionary = make_problem(10, 16, 32)
    holes = dictionary.clone()
    holes[::3] = 0
    code = omp(x, holes, 16, normalize=normalize, **how)
    assert (code.codes[:, ::3] == 0).all()
    assert (code.n_iter > 1).all()
    nothing = omp(x, torch.zeros_like(holes), 5, normalize=normalize, **how)
    assert (nothing.codes == 0).all()
    assert nothing.is_converged.all()
    torch.testing.assert_close(nothing.residual, x, atol=0, rtol=0)


@cases
@dtypes
def test_tiny_and_huge_signals_are_coded_like_others(dtype: torch.dtype, how: dict) -> None:
    x, dictionary = make_problem(12, 16, 32, dtype=dtype)
    expected = omp(x, dictionary, 5, layout="compact", **how)
    for power in (-80, 80):
        scaled = omp(x * 2.0**power, dictionary, 5, layout="compact", **how)
        assert torch.equal(scaled.indices, expected.indices)
        torch.testing.assert_close(scaled.values * 2.0**-power, expected.values, atol=0, rtol=0)
        assert torch.equal(scaled.status, expected.status)
