"""K-SVD finds what is there, and no pass over the atoms goes uphill."""

import pytest
import torch

from sparsedef import omp
from sparsedef.learning import KSVD
from tests.learning.planted import planted, recovered


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_planted_dictionary_is_recovered(dtype: torch.dtype) -> None:
    x, atoms = planted(1500, dtype=dtype)
    learner = KSVD(30, 3, n_iter=40).fit(x)
    assert recovered(learner.dictionary, atoms) >= 0.8  # of a local minimum; signals have none
    assert learner.objective[-1][1] < 0.2 * learner.objective[0][1]
    assert [count for count, _ in learner.objective] == list(range(1, 41))


@pytest.mark.parametrize("positive", [False, True], ids=["signed", "positive"])
def test_a_pass_over_the_atoms_lowers_what_the_pursuit_left(positive: bool) -> None:
    x, _ = planted(500, positive=positive)
    learner = KSVD(25, 3, n_iter=1, nonnegative_codes=positive, nonnegative_atoms=positive, seed=3)
    learner.fit(x)
    for _ in range(5):
        left = omp(x, learner.dictionary, 3, nonnegative=positive).residual.square().sum() / 1000
        learner.init = learner.dictionary
        learner.fit(x)
        assert learner.objective[0][1] <= float(left) + 1e-12
        torch.testing.assert_close(learner.dictionary.norm(dim=1), torch.ones(25, dtype=x.dtype))
        assert not positive or (learner.dictionary >= 0).all()


def test_the_objective_is_that_of_the_codes_after_the_pass() -> None:
    """With one atom the pass is a power iteration: exact, and the codes are all there is."""
    x, _ = planted(50)
    learner = KSVD(1, 1, n_iter=200).fit(x)
    largest = torch.linalg.svdvals(x)[0]
    wanted = (x.square().sum() - largest.square()) / (2 * len(x))
    assert learner.objective[-1][1] == pytest.approx(float(wanted), rel=1e-9)


def test_idle_atoms_and_twins_begin_anew() -> None:
    x, atoms = planted(1000, n_atoms=12, k=2)
    init = atoms.clone()
    init[3] = init[2]  # the later of two equals is never chosen
    init[5] = 0
    learner = KSVD(12, 2, n_iter=15, init=init).fit(x)
    cosines = (learner.dictionary @ learner.dictionary.mT - torch.eye(12)).abs()
    assert cosines.max() < 0.99
    code = learner.encode(x, layout="compact")
    assert code.indices is not None
    assert (torch.bincount(code.indices[code.indices >= 0], minlength=12) > 20).all()


def test_the_same_seed_gives_the_same_bits() -> None:
    x, _ = planted(300, dtype=torch.float32)
    one, two, other = (KSVD(20, 3, n_iter=3, seed=seed).fit(x).dictionary for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
