"""The reference's pursuit: what it holds, what it waits for, large dictionaries, giving up."""

from __future__ import annotations

import sys
from functools import partial

import pytest
import torch
from spies import Reads, Waits, peak_bytes
from torch import Tensor

from sparsedef.backends import Status
from sparsedef.backends.reference.omp import omp
from sparsedef.testing import TOLERANCES, make_problem

RULES = ["omp", "ols"]


def run(x: Tensor, dictionary: Tensor, k: int, rule: str, *, nonnegative: bool = False,
        max_memory: int = 0) -> tuple[Tensor, ...]:  # fmt: skip
    return omp(x, dictionary, x.new_zeros(len(x)), None, k, rule, nonnegative, max_memory)


def least_memory(x: Tensor, dictionary: Tensor, k: int, **options: object) -> int:
    with pytest.raises(ValueError, match=r"omp: max_memory must be at least \d+ bytes") as caught:
        run(x, dictionary, k, max_memory=1, **options)
    return int(str(caught.value).split("at least ")[1].split()[0])


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("n_features", "n_atoms", "k"), [(16, 2000, 8), (200, 300, 10), (60, 70, 40)]
)
def test_the_workspace_stays_within_max_memory(
    n_features: int, n_atoms: int, k: int, rule: str, nonnegative: bool
) -> None:
    x, dictionary = make_problem(8, n_features, n_atoms, dtype=torch.float32)
    if nonnegative:  # atoms that drop each other
        x, dictionary = x.abs(), dictionary.abs()
    options = {"rule": rule, "nonnegative": nonnegative}
    outputs = 8 * (12 * k + 4 * n_features + 8)
    whole = run(x, dictionary, k, **options)
    least = least_memory(x, dictionary, k, **options)
    for limit in (least, 3 * least):
        solve = partial(run, x, dictionary, k, max_memory=limit, **options)
        assert peak_bytes(solve) <= outputs + limit
        tight = solve()
        assert torch.equal(tight[3], whole[3])
        close = TOLERANCES[torch.float32].close
        torch.testing.assert_close(tight[2], whole[2], atol=10 * close, rtol=0)
    with pytest.raises(ValueError, match=f"at least {least} bytes"):
        run(x, dictionary, k, max_memory=least - 1, **options)


@pytest.mark.parametrize("rule", RULES)
def test_large_dictionaries_and_supports_need_no_gram_matrix(rule: str) -> None:
    n_atoms, k = 32_768, 128
    x, dictionary = make_problem(2, 512, n_atoms, dtype=torch.float32)
    indices, values, residual, n_iter, status = run(x, dictionary, k, rule)
    assert (n_iter == k).all()
    assert (status == int(Status.CONVERGED)).all()
    assert all(len(set(row)) == k for row in indices.tolist())
    rebuilt = torch.einsum("bk,bkm->bm", values, dictionary[indices])
    torch.testing.assert_close(residual, x - rebuilt, atol=1e-5, rtol=0)
    left = torch.einsum("bm,bkm->bk", residual, dictionary[indices])
    assert left.abs().max() <= TOLERANCES[torch.float32].orthogonal
    most = peak_bytes(lambda: run(x, dictionary, k, rule))
    assert most < 2 * k * n_atoms * 4  # no K x N numbers a signal, let alone N x N


@pytest.mark.parametrize("rule", RULES)
def test_it_waits_every_few_steps_only(rule: str) -> None:
    x, dictionary = make_problem(30, 24, 60)
    with Waits() as waits, Reads() as reads:
        run(x, dictionary, 12, rule)
    assert waits.seen == ["is_nonzero"] * 3 or waits.seen == ["_local_scalar_dense"] * 3
    assert not [name for name in reads.seen if name != "__bool__"]


@pytest.mark.parametrize("rule", RULES)
def test_a_pursuit_that_is_given_up_says_so_and_keeps_its_fit(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[omp.__module__], "most_entries", lambda n: n * 0 + 3)
    x, dictionary = make_problem(20, 16, 40)
    indices, values, residual, n_iter, status = run(x, dictionary, 8, rule, nonnegative=True)
    assert (status == int(Status.MAX_ITER)).all()
    assert (n_iter <= 3).all()
    assert torch.equal(indices >= 0, values > 0)
    left = torch.einsum("bm,bkm->bk", residual, dictionary[indices.clamp_min(0)])
    assert left[indices >= 0].abs().max() <= TOLERANCES[torch.float64].orthogonal
