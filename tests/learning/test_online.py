"""Online learning finds what is there, keeps its constraints, and repeats itself to the bit."""

import pytest
import torch

from sparsedef.learning import OnlineLearner
from sparsedef.learning.shards import epoch_order
from sparsedef.testing import TOLERANCES
from tests.learning.planted import on_ranks, planted, recovered

CODERS = [{"coder": "lasso", "alpha": 0.15}, {"coder": "omp", "n_nonzero": 3}]
IDS = ["lasso", "omp"]


@pytest.mark.parametrize("coder", CODERS, ids=IDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_planted_dictionary_is_recovered(coder: dict, dtype: torch.dtype) -> None:
    x, atoms = planted(4000, 32, 40, dtype=dtype)
    learner = OnlineLearner(40, batch_size=200, n_epochs=15, **coder).fit(x)
    assert recovered(learner.dictionary, atoms) >= 0.85  # of a local minimum; signals have none
    assert learner.dictionary.dtype == dtype
    first, last = learner.objective[0][1], sum(v for _, v in learner.objective[-20:]) / 20
    # Even the true atoms leave the LASSO about alpha times 3 codes of size 1
    assert last < 0.8 * first
    assert [n_seen for n_seen, _ in learner.objective][:3] == [200, 400, 600]


@pytest.mark.parametrize("coder", CODERS, ids=IDS)
def test_nonnegative_atoms_and_codes_are_found_and_stay_so(coder: dict) -> None:
    x, atoms = planted(4000, 32, 40, positive=True)
    learner = OnlineLearner(
        40, batch_size=200, n_epochs=15, nonnegative_codes=True, nonnegative_atoms=True, **coder
    ).fit(x)
    assert (learner.dictionary >= 0).all()
    code = learner.encode(x[:50])
    assert code.codes is not None
    assert (code.codes >= 0).all()
    assert recovered(learner.dictionary, atoms) >= 0.8


@pytest.mark.parametrize("coder", CODERS, ids=IDS)
def test_norms_are_kept_at_every_step(coder: dict) -> None:
    x, _ = planted(600, dtype=torch.float32)
    learner = OnlineLearner(40, **coder)
    for part in x.split(100):
        norms = learner.partial_fit(part).dictionary.norm(dim=1)
        assert (norms <= 1 + 1e-6).all()
        assert coder["coder"] == "lasso" or (norms >= 1 - 1e-6).all()


def test_the_mean_objective_of_a_batch_is_what_its_codes_cost() -> None:
    x, atoms = planted(100)
    learner = OnlineLearner(30, alpha=0.2, init=atoms).partial_fit(x)
    code = OnlineLearner(30, alpha=0.2, init=atoms).coding.code(x, atoms, "dense")
    assert code.codes is not None
    cost = (x - code.codes @ atoms).square().sum() / 2 + 0.2 * code.codes.abs().sum()
    assert learner.objective == [(100, pytest.approx(float(cost) / 100))]


def test_partial_fit_on_the_minibatches_of_fit_is_fit() -> None:
    x, atoms = planted(500)
    settings = {"alpha": 0.15, "batch_size": 64, "n_epochs": 3, "seed": 4, "init": atoms}
    whole = OnlineLearner(30, **settings).fit(x)
    parts = OnlineLearner(30, **settings)
    for epoch in range(3):
        for rows in epoch_order(500, 4, epoch).split(64):
            parts.partial_fit(x[rows])
    assert torch.equal(parts.dictionary, whole.dictionary)
    assert parts.objective == whole.objective
    assert parts.n_seen == whole.n_seen == 1500


def test_an_epoch_takes_every_row_once_in_an_order_of_its_own() -> None:
    orders = [epoch_order(100, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    for order in orders:
        assert order.sort().values.tolist() == list(range(100))
    assert len({tuple(order.tolist()) for order in orders}) == 4


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    x, _ = planted(500, dtype=torch.float32)
    one, two, other = (
        OnlineLearner(30, alpha=0.15, batch_size=64, n_epochs=2, seed=seed).fit(x).dictionary
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_fit_begins_anew() -> None:
    x, _ = planted(300)
    learner = OnlineLearner(30, alpha=0.15, batch_size=100, n_epochs=2)
    first = learner.fit(x).dictionary
    assert torch.equal(learner.fit(x).dictionary, first)
    assert learner.n_seen == 600


def with_idle_atoms(n_signals: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Signals, and 16 first atoms of which the last 8 are orthogonal to all of them."""
    x, _ = planted(n_signals, n_features=10, n_atoms=16, k=2)
    x = torch.cat([x, torch.zeros(n_signals, 10, dtype=x.dtype)], dim=1)
    alive, _ = planted(8, n_features=10, n_atoms=16, k=2, seed=1)
    init = torch.zeros(16, 20, dtype=x.dtype)
    init[:8, :10], init[8:, 10:18] = alive, torch.eye(8, dtype=x.dtype)
    return x, init


@pytest.mark.parametrize("coder", CODERS, ids=IDS)
def test_dead_atoms_come_back_as_badly_coded_signals(coder: dict) -> None:
    x, init = with_idle_atoms(3000)
    learner = OnlineLearner(16, batch_size=100, n_epochs=1, init=init, **coder)
    for part in x[:100].split(50):
        learner.partial_fit(part)
    assert torch.equal(learner.dictionary[8:], init[8:]), "given up before their time"
    learner.fit(x)
    assert (learner.dictionary[:, 10:] == 0).all()
    code = learner.encode(x, layout="compact")
    assert code.indices is not None
    used = torch.bincount(code.indices[code.indices >= 0], minlength=16)
    assert (used > 0).all()
    lame = OnlineLearner(8, batch_size=100, n_epochs=1, init=init[:8], **coder).fit(x)
    assert learner.objective[-1][1] < 0.8 * lame.objective[-1][1]


def test_first_atoms_are_signals_and_directions_where_signals_are_too_few() -> None:
    x, _ = planted(5)
    x[2] = 0
    learner = OnlineLearner(9, alpha=100.0).partial_fit(x)  # too dear for any code
    rows = x[[0, 1, 3, 4]] / x[[0, 1, 3, 4]].norm(dim=1, keepdim=True)
    cosines = rows @ learner.dictionary[:4].mT
    assert torch.allclose(cosines.amax(dim=1), torch.ones(4, dtype=x.dtype))
    torch.testing.assert_close(learner.dictionary.norm(dim=1), torch.ones(9, dtype=x.dtype))


@pytest.mark.parametrize("split", [(250, 250), (0, 500), (123, 377)], ids=str)
@pytest.mark.parametrize("coder", CODERS, ids=IDS)
def test_two_ranks_equal_one(coder: dict, split: tuple[int, int]) -> None:
    x, _ = planted(500, n_atoms=24)
    assert_two_equal_one(x, split, {"n_atoms": 24, "batch_size": 50, "n_epochs": 8, **coder})
    x, init = with_idle_atoms(500)
    settings = {"n_atoms": 16, "init": init, "batch_size": 50, "n_epochs": 2, **coder}
    one = assert_two_equal_one(x, split, settings)
    assert (one.dictionary[:, 10:] == 0).all(), "no dead atom was replaced"


def assert_two_equal_one(x: torch.Tensor, split: tuple[int, int], settings: dict) -> OnlineLearner:
    one = OnlineLearner(**settings).fit(x)
    two = on_ranks(
        list(x.split(split)),
        lambda part, ranks: OnlineLearner(**settings).fit(part, ranks=ranks),
    )
    assert torch.equal(two[0].dictionary, two[1].dictionary)
    close = TOLERANCES[x.dtype].close
    torch.testing.assert_close(two[0].dictionary, one.dictionary, atol=close, rtol=0)
    assert two[0].n_seen == one.n_seen
    return one


def test_two_ranks_that_split_minibatches_equal_one() -> None:
    x, _ = planted(400)
    one = OnlineLearner(30, alpha=0.15)
    for part in x.split(100):
        one.partial_fit(part)

    def learn(part, ranks):
        learner = OnlineLearner(30, alpha=0.15)
        for own in part.split(50):
            learner.partial_fit(own, ranks=ranks)
        return learner.dictionary

    halves = x.view(4, 2, 50, -1)
    two = on_ranks([halves[:, rank].flatten(0, 1) for rank in (0, 1)], learn)
    assert torch.equal(*two)
    close = TOLERANCES[x.dtype].close
    torch.testing.assert_close(two[0], one.dictionary, atol=close, rtol=0)


@pytest.mark.parametrize("coder", CODERS, ids=IDS)
def test_backends_learn_the_same(coder: dict) -> None:
    x, init = with_idle_atoms(400)
    settings = {"init": init, "batch_size": 50, "n_epochs": 1, **coder}
    one = OnlineLearner(16, backend="reference", **settings).fit(x).dictionary
    two = OnlineLearner(16, **settings).fit(x).dictionary
    close = TOLERANCES[x.dtype].close
    torch.testing.assert_close(two, one, atol=10 * close, rtol=0)  # eight updates amplify rounding


@pytest.mark.parametrize("coder", CODERS, ids=IDS)
def test_threads_do_not_change_a_bit(coder: dict) -> None:
    pytest.importorskip("sparsedef._C", reason="the native module is not built")
    x, _ = planted(600, dtype=torch.float32)
    found, threads = [], torch.get_num_threads()
    for n_threads in (1, 3):
        torch.set_num_threads(n_threads)
        learner = OnlineLearner(30, batch_size=200, n_epochs=2, **coder)
        found.append(learner.fit(x).dictionary)
    torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_forgetting_lets_go_of_what_changed() -> None:
    """After the data changed, who forgets fits the new data better."""
    old, _ = planted(2000, seed=0)
    new, _ = planted(2000, seed=1)
    left = []
    for forgetting in (0.0, 15.0):
        learner = OnlineLearner(30, alpha=0.15, forgetting=forgetting)
        for part in torch.cat([old, new]).split(100):
            learner.partial_fit(part)
        left.append(sum(value for _, value in learner.objective[-5:]))
    assert left[1] < 0.9 * left[0]


def test_the_unit_of_the_signals_does_not_matter() -> None:
    """A power of two, so to the bit; these signals' norms are 1e-15."""
    x, _ = planted(300, n_atoms=24)
    one, two = (
        OnlineLearner(24, coder="omp", n_nonzero=3, batch_size=100, n_epochs=3).fit(each).dictionary
        for each in (x, x * 2.0**-50)
    )
    assert torch.equal(one, two)


def test_half_precision_is_learned_in_float32() -> None:
    x, _ = planted(100)
    assert OnlineLearner(10, alpha=0.2, n_epochs=1).fit(x.half()).dictionary.dtype == torch.float32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("coder", CODERS, ids=IDS)
def test_a_gpu_learns_what_the_cpu_learns(coder: dict) -> None:
    x, _ = planted(500)
    settings = {"batch_size": 100, "n_epochs": 2, **coder}
    near = OnlineLearner(30, **settings).fit(x).dictionary
    far = OnlineLearner(30, **settings).fit(x.cuda()).dictionary
    again = OnlineLearner(30, **settings).fit(x.cuda()).dictionary
    assert far.is_cuda
    assert torch.equal(far, again)
    torch.testing.assert_close(far.cpu(), near, atol=1e-6, rtol=0)  # ten updates amplify rounding
