"""What an OMP answer may depend on: the signal, the dictionary, its own limit and tolerance."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsedef import SparseCode, omp
from sparsedef.backends import Problem
from sparsedef.testing import able_backends, make_problem

RULES = ["omp", "ols"]


def able(**options: object) -> list[str]:
    return able_backends(
        Problem("omp", 8, 16, 32, torch.float64, torch.device("cpu"), {"n_nonzero": 8, **options})
    )


CASES = [
    pytest.param(
        {"selection": rule, "nonnegative": sign, "backend": name},
        id=f"{rule}-{'positive' if sign else 'signed'}-{name}",
    )
    for rule in RULES
    for sign in (False, True)
    for name in able(selection=rule, nonnegative=sign, limits=True, max_memory=1)
]
cases = pytest.mark.parametrize("how", CASES)


def assert_same(found: SparseCode, expected: SparseCode, close: float = 1e-11) -> None:
    n_slots = min(found.indices.shape[1], expected.indices.shape[1])
    for code in (found, expected):
        assert (code.indices[:, n_slots:] == -1).all()
        assert (code.values[:, n_slots:] == 0).all()
    assert torch.equal(found.indices[:, :n_slots], expected.indices[:, :n_slots])
    ours, theirs = found.values[:, :n_slots], expected.values[:, :n_slots]
    torch.testing.assert_close(ours, theirs, atol=close, rtol=0)
    torch.testing.assert_close(found.residual, expected.residual, atol=close, rtol=0)
    assert torch.equal(found.n_iter, expected.n_iter)
    assert torch.equal(found.status, expected.status)


def rows(code: SparseCode, part: Tensor | slice) -> SparseCode:
    return code._replace(
        indices=code.indices[part], values=code.values[part], residual=code.residual[part],
        n_iter=code.n_iter[part], status=code.status[part],
    )  # fmt: skip


@cases
def test_each_signal_gets_the_answer_of_its_own_limit(how: dict) -> None:
    x, dictionary = make_problem(64, 16, 40)
    limits = torch.arange(64) % 9
    found = omp(x, dictionary, limits, layout="compact", **how)
    assert found.indices.shape == (64, 8)
    for k in range(9):
        mine = rows(found, limits == k)
        if k == 0:
            assert (mine.indices == -1).all()
            assert torch.equal(mine.residual, x[limits == 0])
            assert (mine.n_iter == 0).all()
            assert mine.is_converged.all()
        else:
            assert (mine.n_iter <= k).all()
            assert (mine.n_iter == k).any()
            assert_same(mine, omp(x[limits == k], dictionary, k, layout="compact", **how))


@cases
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64], ids=str)
def test_limits_of_any_integer_type_serve(dtype: torch.dtype, how: dict) -> None:
    x, dictionary = make_problem(6, 16, 40)
    limits = torch.tensor([3, 0, 5, 1, 5, 2], dtype=dtype)
    code = omp(x, dictionary, limits, **how)
    assert torch.equal(code.n_iter, limits.int())
    assert torch.equal(limits, torch.tensor([3, 0, 5, 1, 5, 2], dtype=dtype))


@cases
def test_limits_above_what_is_independent_are_lowered_aloud(how: dict) -> None:
    x, dictionary = make_problem(4, 6, 20)
    limits = torch.tensor([2, 99, 6, 0])
    with pytest.warns(UserWarning, match=r"n_nonzero=99 is more than min\(M, N\) = 6") as caught:
        code = omp(x, dictionary, limits, layout="compact", **how)
    assert caught[0].filename == __file__  # it points at the caller's line
    assert code.indices.shape == (4, 6)
    assert_same(code, omp(x, dictionary, limits.clamp_max(6), layout="compact", **how))


@cases
@pytest.mark.parametrize("layout", ["dense", "compact"])
def test_no_signal_or_no_atom_allowed_is_an_answer_too(layout: str, how: dict) -> None:
    x, dictionary = make_problem(3, 6, 20)
    none = omp(x, dictionary, torch.zeros(3, dtype=torch.int64), layout=layout, **how)
    assert (none.n_iter == 0).all()
    assert torch.equal(none.residual, x)
    assert (none.to_dense(20) == 0).all()
    empty = omp(x[:0], dictionary, torch.zeros(0, dtype=torch.int64), layout=layout, **how)
    assert empty.to_dense(20).shape == (0, 20)


@cases
def test_tol_stops_each_signal_at_its_squared_residual(how: dict) -> None:
    x, dictionary = make_problem(40, 24, 80)
    tol = torch.linspace(0.05, 1.2, 40, dtype=torch.float64)
    tol[::7] = 0
    limits = torch.full((40,), 12)
    code = omp(x, dictionary, limits, tol=tol, layout="compact", **how)
    energy = code.residual.square().sum(dim=1)
    met = (tol > 0) & (energy <= tol + 1e-12)
    assert (met | (code.n_iter == 12))[tol > 0].all()
    assert (code.n_iter == 12)[tol == 0].all()
    assert met.sum() > 20
    # One atom fewer would not have been enough.
    has_any = code.n_iter > 0
    shorter = omp(x, dictionary, (code.n_iter - 1).clamp_min(0), **how)
    more = shorter.residual.square().sum(dim=1)
    if not how["nonnegative"]:  # there, one limit less may be another path
        assert (more > tol)[has_any].all()


@cases
def test_neither_batch_nor_memory_change_an_answer(how: dict) -> None:
    x, dictionary = make_problem(90, 16, 40, correlation=0.3)
    limits = torch.randint(0, 11, (90,), generator=torch.Generator().manual_seed(0))
    tol = torch.linspace(0, 0.3, 90, dtype=torch.float64)

    def solve(part: slice, **options: object) -> SparseCode:
        return omp(
            x[part], dictionary, limits[part], tol=tol[part], layout="compact", **how, **options
        )

    whole = solve(slice(None))
    for size in (1, 7, 64):
        for start in range(0, 90, 30):
            part = slice(start, start + size)
            assert_same(solve(part), rows(whole, part))
    for memory in (200_000, 1_000_000):
        assert_same(solve(slice(None), max_memory=memory), whole)
    order = torch.randperm(90, generator=torch.Generator().manual_seed(1))
    mixed = omp(x[order], dictionary, limits[order], tol=tol[order], layout="compact", **how)
    assert_same(mixed, rows(whole, order))


@cases
def test_too_little_memory_is_refused_with_what_is_enough(how: dict) -> None:
    x, dictionary = make_problem(30, 16, 400)
    with pytest.raises(ValueError, match=r"omp: max_memory must be at least \d+ bytes") as caught:
        omp(x, dictionary, 5, max_memory=1, **how)
    least = int(str(caught.value).split("at least ")[1].split()[0])
    tight = omp(x, dictionary, 5, max_memory=least, layout="compact", **how)
    assert_same(tight, omp(x, dictionary, 5, layout="compact", **how))


@pytest.mark.parametrize(
    ("error", "message", "n_nonzero"),
    [
        (TypeError, "n_nonzero must hold integers, got torch.float32", torch.ones(5)),
        (TypeError, "n_nonzero must hold integers, got torch.bool", torch.ones(5).bool()),
        (ValueError, r"n_nonzero must be an int or \[5\] to match x \[5, 8\], got \[4\]",
         torch.ones(4).long()),
        (ValueError, r"n_nonzero must be an int or \[5\] .*, got \[\]", torch.tensor(3)),
        (ValueError, "n_nonzero must be on cpu as x is, got meta",
         torch.ones(5, device="meta").long()),
        (ValueError, "n_nonzero must be at least 0, got -2", torch.tensor([1, -2, 3, 0, 1])),
        (TypeError, "n_nonzero must be an int, got list", [1, 2, 3, 4, 5]),
        (TypeError, "n_nonzero must be an int, got bool", True),
    ],
)  # fmt: skip
def test_a_wrong_limit_is_named(error, message: str, n_nonzero: object) -> None:
    x, dictionary = make_problem(5, 8, 12)
    with pytest.raises(error, match=message):
        omp(x, dictionary, n_nonzero)


@pytest.mark.parametrize("name", able(max_memory=1))
def test_a_wrong_max_memory_is_named(name: str) -> None:
    x, dictionary = make_problem(5, 8, 12)
    with pytest.raises(ValueError, match="max_memory must be at least 1, got 0"):
        omp(x, dictionary, 3, max_memory=0, backend=name)
    with pytest.raises(TypeError, match="max_memory must be an int, got float"):
        omp(x, dictionary, 3, max_memory=1e9, backend=name)


@cases
@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 6), st.integers(1, 12), st.integers(1, 30), st.integers(1, 8),
    st.integers(0, 10**6),
)  # fmt: skip
def test_invariants(
    how: dict, n_signals: int, n_features: int, n_atoms: int, k: int, seed: int
) -> None:
    x, dictionary = make_problem(n_signals, n_features, n_atoms, seed=seed)
    k = min(k, n_features, n_atoms)
    draw = torch.Generator().manual_seed(seed)
    limits = torch.randint(0, k + 1, (n_signals,), generator=draw)
    code = omp(x, dictionary, limits, **how)

    # What a code is.
    assert (code.n_nonzero <= limits).all()
    assert torch.equal(code.n_nonzero.int(), code.n_iter)
    torch.testing.assert_close(code.residual, x - code.codes @ dictionary, atol=1e-9, rtol=0)
    assert ((code.residual @ dictionary.mT)[code.codes != 0].abs() < 1e-9).all()
    assert (code.residual.norm(dim=1) <= x.norm(dim=1) + 1e-12).all()
    if how["nonnegative"]:
        assert (code.codes >= 0).all()

    # Powers of two are exact, so no tie can break the other way.
    scaled = omp(8 * x, dictionary, limits, **how)
    torch.testing.assert_close(scaled.codes, 8 * code.codes, atol=1e-9, rtol=0)
    # The last of as many atoms as features is a tie of all that are left for "ols".
    if k < n_features:
        order = torch.randperm(n_atoms, generator=draw)
        permuted = omp(x, dictionary[order], limits, **how)
        torch.testing.assert_close(permuted.codes, code.codes[:, order], atol=1e-7, rtol=0)
    if not how["nonnegative"]:
        sign = torch.where(torch.rand(n_atoms, generator=draw) < 0.5, -1.0, 1.0).double()
        flipped = omp(-x, sign[:, None] * dictionary, limits, **how)
        torch.testing.assert_close(flipped.codes, -sign * code.codes, atol=1e-9, rtol=0)
