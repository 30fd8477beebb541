"""The loop: what a loss is given, what is chosen in the end, and mistakes in words."""

import math
from collections.abc import Callable

import pytest
import torch
from small_training import make_data, make_net, noisy_loss, run, same
from torch import Tensor, nn

from sparsedef.learning.ranks import Alone
from sparsedef.training import Batch, Step, Tensors, n_batches, train
from sparsedef.training.loop import _part


def watch(source: Tensors, epochs: int, batch_size: int, seed: int = 0) -> list[list[int]]:
    """The rows of each minibatch, in order; the source holds their numbers."""
    net, seen = nn.Linear(1, 1), []

    def loss(batch: Batch, step: Step) -> Tensor:
        assert step.number == len(seen)
        assert step.n_rows == len(batch[0])
        seen.append(batch[0].tolist())
        return net(torch.ones(1, 1)).sum()

    optimizer = torch.optim.SGD(net.parameters(), 0.0)
    train(
        net, source, loss, optimizer=optimizer, epochs=epochs, batch_size=batch_size, seed=seed,
        is_silent=True,
    )  # fmt: skip
    return seen


def test_each_epoch_sees_every_sample_once_in_even_minibatches() -> None:
    seen = watch(Tensors(torch.arange(33)), epochs=3, batch_size=8)
    assert len(seen) == 3 * n_batches(33, 8) == 15
    epochs = [[row for rows in seen[i : i + 5] for row in rows] for i in (0, 5, 10)]
    for order in epochs:
        assert sorted(order) == list(range(33))
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert {len(rows) for rows in seen} == {6, 7}
    assert seen == watch(Tensors(torch.arange(33)), epochs=3, batch_size=8)
    assert seen != watch(Tensors(torch.arange(33)), epochs=3, batch_size=8, seed=1)


def test_samples_need_not_lie_in_memory() -> None:
    class Far:
        def __len__(self) -> int:
            return 50

        def batch(self, rows: Tensor) -> Batch:
            near = make_data().tensors
            return tuple(torch.stack([each[i] for i in rows.tolist()]) for each in near)

    assert same(run()[0], run(source=Far())[0])


def test_the_callers_random_state_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run()
    assert torch.equal(torch.rand(3), expected)


def test_the_callers_random_state_does_not_matter() -> None:
    torch.manual_seed(1)
    one, _ = run()
    torch.manual_seed(2)
    two, _ = run()
    assert same(one, two)


def test_steps_draw_for_the_whole_minibatch_and_give_a_part() -> None:
    whole = Step.single(7, seed=0)
    part = Step(0, 0, 7, slice(2, 5), Step.single(7, seed=0).generator)
    assert torch.equal(part.rand_like(torch.empty(3, 4)), whole.rand_like(torch.empty(7, 4))[2:5])
    half = part.randn_like(torch.empty(3, 2, dtype=torch.float64))
    assert half.dtype == torch.float64
    assert torch.equal(half, whole.randn_like(torch.empty(7, 2))[2:5].double())


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 7])
@pytest.mark.parametrize("n_rows", [1, 2, 5, 64])
def test_ranks_share_out_every_row_once(n_ranks: int, n_rows: int) -> None:
    def part(rank: int) -> slice:
        ranks = Alone()
        ranks.rank, ranks.n_ranks = rank, n_ranks
        return _part(n_rows, ranks)

    parts = [range(n_rows)[part(rank)] for rank in range(n_ranks)]
    assert [row for rows in parts for row in rows] == list(range(n_rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_the_best_epoch_is_kept_and_the_last_of_equal_ones() -> None:
    net, states, scores = make_net(), [], iter([1.0, 3.0, 3.0, 2.0])

    def score() -> float:
        assert not net.training
        states.append({k: v.clone() for k, v in net.state_dict().items()})
        return next(scores)

    _, trained = run(net=net, score=score)
    assert trained.scores == [1.0, 3.0, 3.0, 2.0]
    assert trained.best_epoch == 2
    assert all(torch.equal(net.state_dict()[k], states[2][k]) for k in states[2])
    assert not torch.equal(net.state_dict()["0.weight"], states[3]["0.weight"])
    assert not net.training


def test_without_validation_the_last_epoch_stays_and_losses_fall() -> None:
    net = make_net()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    trained = train(
        net, make_data(), noisy_loss(net), optimizer=optimizer, epochs=12, batch_size=8,
        is_silent=True,
    )  # fmt: skip
    assert (trained.scores, trained.best_epoch) == ([], None)
    assert len(trained.losses) == 12
    assert trained.losses[-1] < 0.7 * trained.losses[0]


def test_the_gradient_is_clipped_to_its_norm() -> None:
    net = nn.Linear(4, 1, bias=False)
    before = net.weight.detach().clone()
    train(
        net, Tensors(torch.ones(8, 4)), lambda batch, step: 100 * net(batch[0]).mean(),
        optimizer=torch.optim.SGD(net.parameters(), 1.0), epochs=1, batch_size=8, max_norm=0.5,
        is_silent=True,
    )  # fmt: skip
    torch.testing.assert_close((net.weight - before).norm(), torch.tensor(0.5))


def test_a_loss_may_look_at_other_weights() -> None:
    """As adversarial weight perturbation does: the gradient there, the step from here."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, 1.0)

    def loss(batch: Batch, step: Step) -> Tensor:
        moved = {"weight": net.weight + 2.0}
        return torch.func.functional_call(net, moved, batch).square().mean()

    train(
        net, Tensors(torch.ones(4, 1)), loss, optimizer=torch.optim.SGD(net.parameters(), 0.1),
        epochs=1, batch_size=4, is_silent=True,
    )  # fmt: skip
    assert net.weight.item() == pytest.approx(1 - 0.1 * 2 * (1 + 2))


def test_what_has_no_gradient_is_left_alone() -> None:
    """Also by weight decay, which a gradient of zero would let loose on it."""
    net = nn.ModuleDict({"used": nn.Linear(2, 1), "unused": nn.Linear(2, 1)})
    before = net["unused"].weight.detach().clone()
    train(
        net, Tensors(torch.ones(4, 2)), lambda batch, step: net["used"](batch[0]).mean(),
        optimizer=torch.optim.AdamW(net.parameters(), 0.1, weight_decay=1.0), epochs=1,
        batch_size=2, is_silent=True,
    )  # fmt: skip
    assert torch.equal(net["unused"].weight, before)


def diverge(at: int) -> Callable[[Batch, Step], Tensor]:
    net = make_net()
    plain = noisy_loss(net)

    def loss(batch: Batch, step: Step) -> Tensor:
        return plain(batch, step) * (math.nan if step.number == at else 1.0)

    loss.net = net  # type: ignore[attr-defined]
    return loss


def test_a_training_that_diverges_says_so_and_spoils_no_weights() -> None:
    loss = diverge(at=9)
    optimizer = torch.optim.SGD(loss.net.parameters(), 0.1)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"the loss was nan in epoch 2 \(a lower learning rate"):
        train(
            loss.net, make_data(), loss, optimizer=optimizer, epochs=3, batch_size=8,
            is_silent=True,
        )  # fmt: skip
    assert all(each.isfinite().all() for each in loss.net.parameters())


def test_weights_that_diverge_at_the_very_end_are_noticed() -> None:
    net = nn.Linear(1, 1)

    def loss(batch: Batch, step: Step) -> Tensor:
        return (net(batch[0]) * 0).square().mean().sqrt()  # 0, with an infinite slope

    with pytest.raises(ValueError, match="weights became infinite or NaN in epoch 1"):
        train(
            net, Tensors(torch.ones(2, 1)), loss,
            optimizer=torch.optim.SGD(net.parameters(), 1.0), epochs=1, batch_size=2,
            is_silent=True,
        )  # fmt: skip


def test_a_score_that_is_no_number_is_named() -> None:
    with pytest.raises(ValueError, match="validate must return a finite number, got nan"):
        run(score=lambda: math.nan)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        ({"batch_size": 1.5}, TypeError, "batch_size must be an int, got float"),
        ({"checkpoint_steps": 0}, ValueError, "checkpoint_steps must be at least 1"),
        ({"source": Tensors(torch.empty(0, 6))}, ValueError, "samples must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_named(change: dict, error: type, message: str) -> None:  # type: ignore
    with pytest.raises(error, match=f"train: {message}"):
        run(**change)


def test_samples_of_different_numbers_are_named() -> None:
    with pytest.raises(ValueError, match=r"same number of samples, got \[2, 3\]"):
        Tensors(torch.ones(2), torch.ones(3))
