"""The torch driver of working sets: what it waits for, what it holds, what chunks may change."""

from __future__ import annotations

import math

import pytest
import torch
from spies import Reads, Waits, peak_bytes
from torch import Tensor

from sparsedef.backends import Status
from sparsedef.backends.slots import unpack
from sparsedef.backends.small_lasso import solve_small
from sparsedef.backends.working_set import active_set
from sparsedef.testing import make_problem


def run(x: Tensor, dictionary: Tensor, alpha: Tensor, **options: object) -> tuple[Tensor, ...]:
    arguments = {"ridge": None, "init": None, "nonnegative": False, "tol": 1e-10, "max_iter": 200,
                 "slots": 0, "max_memory": 0, **options}  # fmt: skip
    return active_set(x, dictionary, alpha, *arguments.values())


@pytest.mark.parametrize("slots", [0, 24], ids=["dense", "compact"])
@pytest.mark.parametrize("is_elastic", [False, True], ids=["l1", "ridge"])
def test_a_round_waits_for_the_device_once(is_elastic: bool, slots: int) -> None:
    x, dictionary = make_problem(40, 24, 100, correlation=0.4)
    alpha = torch.logspace(-3, 0, 40).double()  # signals leave at different rounds
    ridge = torch.full((100,), 0.1).double() if is_elastic else None
    waits, reads = Waits(), Reads()
    n_rounds = 0

    def solve(*arguments: object) -> Tensor:
        nonlocal n_rounds
        n_rounds += 1
        # The small problems are the backend's: a CUDA kernel waits for nothing.
        seen = len(waits.seen), len(reads.seen)
        codes = solve_small(*arguments)  # type: ignore[arg-type]
        del waits.seen[seen[0] :], reads.seen[seen[1] :]
        return codes

    with waits, reads:
        found = run(x, dictionary, alpha, ridge=ridge, slots=slots, solve=solve)
    n_iter = found[4]
    assert n_iter.unique().numel() > 2
    assert n_rounds == n_iter.max()
    # Once a round, and once to see that nobody is left.
    assert waits.seen == ["_local_scalar_dense"] * (n_rounds + 1)
    assert not reads.seen


def test_a_warm_start_waits_once_more() -> None:
    x, dictionary = make_problem(10, 24, 100)
    alpha = torch.full((10,), 0.1).double()
    init = run(x, dictionary, alpha)[1]
    with Waits() as waits:
        found = run(x, dictionary, alpha, init=init)
    assert (found[4] == 0).all()
    assert waits.seen == ["_local_scalar_dense"] * 2


@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("limit", [200_000, 500_000, 2_000_000])
def test_the_workspace_stays_within_max_memory(limit: int, is_warm: bool) -> None:
    x, dictionary = make_problem(40, 16, 4000, dtype=torch.float32)
    alpha = torch.full((40,), 0.5)
    init = run(x, dictionary, alpha, tol=1e-5)[1] if is_warm else None
    slots = 16
    outputs = 40 * (slots * 12 + 16 * 4 + 12)
    whole = 40 * 4000 * 4

    def solve() -> tuple[Tensor, ...]:
        return run(x, dictionary, alpha, init=init, tol=1e-5, slots=slots, max_memory=limit)

    found = solve()
    assert (found[5] == int(Status.CONVERGED)).all()
    most = peak_bytes(solve)
    assert most <= outputs + limit
    assert limit > whole or most < whole  # no B x N, not even once


def test_compact_outputs_hold_no_dense_codes_without_a_limit() -> None:
    # The default is a little more than X D^T for a large batch; here, the 64 MiB of a small one.
    x, dictionary = make_problem(3000, 32, 4096, dtype=torch.float32)
    alpha = 0.97 * torch.cat([(part @ dictionary.mT).abs().amax(1) for part in x.split(100)])
    most = peak_bytes(lambda: run(x, dictionary, alpha, tol=1e-5, slots=8))
    assert most < 3000 * 4096 * 4 * 1.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_too_little_memory_is_refused_with_what_is_needed(dtype: torch.dtype) -> None:
    x, dictionary = make_problem(3, 16, 200, dtype=dtype)
    alpha = torch.full((3,), 0.1, dtype=dtype)
    with pytest.raises(ValueError, match=r"max_memory must be at least \d+ bytes") as caught:
        run(x, dictionary, alpha, tol=1e-5, max_memory=1000)
    least = int(str(caught.value).split("at least ")[1].split()[0])
    found = run(x, dictionary, alpha, tol=1e-5, max_memory=least)
    assert (found[5] == int(Status.CONVERGED)).all()
    with pytest.raises(ValueError, match=f"at least {least} bytes"):
        run(x, dictionary, alpha, tol=1e-5, max_memory=least - 1)


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("is_elastic", [False, True], ids=["l1", "ridge"])
def test_neither_chunks_nor_neighbours_change_an_answer(
    is_elastic: bool, nonnegative: bool
) -> None:
    x, dictionary = make_problem(60, 24, 100, correlation=0.3)
    alpha = torch.full((60,), 0.1).double()
    alpha[::9] = 1e-3
    ridge = torch.full((100,), 0.02).double() if is_elastic else None
    options = {"ridge": ridge, "nonnegative": nonnegative}
    whole = run(x, dictionary, alpha, **options)
    for part in (slice(0, 1), slice(17, 18), slice(5, 41)):
        some = run(x[part], dictionary, alpha[part], **options)
        torch.testing.assert_close(some[1], whole[1][part], atol=1e-9, rtol=0)
        assert torch.equal(some[4], whole[4][part])  # as many rounds
    for limit in (1_000_000, 3_000_000):
        tight = run(x, dictionary, alpha, max_memory=limit, **options)
        torch.testing.assert_close(tight[1], whole[1], atol=1e-9, rtol=0)
        assert torch.equal(tight[4], whole[4])


def test_compact_slots_hold_the_atoms_in_order() -> None:
    x, dictionary = make_problem(30, 24, 100)
    alpha = torch.linspace(0.01, 0.5, 30).double()
    dense = run(x, dictionary, alpha)
    for slots in (24, 100, 140):
        compact = run(x, dictionary, alpha, slots=slots)
        torch.testing.assert_close(unpack(compact[0], compact[1], 100), dense[1])
        order = compact[0].where(compact[0] >= 0, 10**6)
        assert (order.diff(dim=1)[compact[0][:, 1:] >= 0] > 0).all()
        assert ((compact[0] < 0) == (compact[1] == 0)).all()


def test_what_does_not_fit_the_slots_is_marked() -> None:
    x, dictionary = make_problem(30, 24, 100)
    alpha = torch.linspace(0.01, 0.5, 30).double()
    size = torch.count_nonzero(run(x, dictionary, alpha)[1], dim=1)
    found = run(x, dictionary, alpha, slots=6)
    assert torch.equal(found[5] == int(Status.OVERFLOW), size > 6)
    assert torch.equal(found[1].isnan().all(dim=1), size > 6)
    assert math.isfinite(found[3].max())


def test_a_start_on_a_zero_atom_is_dropped() -> None:
    x, dictionary = make_problem(4, 8, 12)
    dictionary[5] = 0
    found = run(x, dictionary, torch.full((4,), 0.1).double(), init=torch.ones(4, 12).double())
    assert (found[1][:, 5] == 0).all()
    assert (found[5] == int(Status.CONVERGED)).all()
