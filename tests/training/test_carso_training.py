"""CARSO's training: its attacks, its schedule, and the same weights stopped, shared or not."""

from pathlib import Path
from typing import Any

import pytest
import torch
from carso_training import make_images, run
from ranks_apart import run_apart

from sparsedef.learning.ranks import Ranks
from sparsedef.models.carso import CARSOPurifier
from sparsedef.training.carso import (
    AttackMix,
    attack_radii,
    carso_loss,
    kl_weight,
    lr_factor,
)
from sparsedef.training.lookahead import Lookahead
from sparsedef.training.step import Step


def test_each_attack_gets_its_quarter_of_the_fraction() -> None:
    images, labels = make_images(32), torch.zeros(32, dtype=torch.long)
    classifier = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 4))
    mix = AttackMix((0.01, 0.05), fraction=0.5, steps=3, step_size=0.1)
    attacked = mix(classifier, images, labels, Step.single(32, 0))
    size = (attacked - images).abs().flatten(1).amax(1)
    assert (size == 0).sum() == 16
    assert ((size > 0) & (size <= 0.0101)).sum() == 8
    assert ((size > 0.04) & (size <= 0.0501)).sum() == 8


def test_ranks_attack_the_images_that_one_alone_would() -> None:
    images, labels = make_images(20), torch.zeros(20, dtype=torch.long)
    classifier = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 4))
    mix = AttackMix((0.01, 0.05), steps=2)
    whole = mix(classifier, images, labels, Step.single(20, 0))
    parts = []
    for rows in (slice(0, 9), slice(9, 20)):
        step = Step(0, 0, 20, rows, Step.single(20, 0).generator)
        parts.append(mix(classifier, images[rows], labels[rows], step))
    torch.testing.assert_close(torch.cat(parts), whole)


def test_radii_are_the_codes_or_the_papers() -> None:
    cifar10 = (0.2471, 0.2435, 0.2616)
    assert [255 * each for each in attack_radii(cifar10)] == pytest.approx([15.95, 31.9], abs=0.05)
    assert [255 * each for each in attack_radii(cifar10, nominal=True)] == pytest.approx([4, 8])


def test_the_schedule_has_the_published_corners() -> None:
    rate = [0.064 * lr_factor(epoch / 200, 640, 0.064) for epoch in (0, 25, 50, 200)]
    assert rate == pytest.approx([5e-9, 0.064, 0.064, 8e-6])
    assert [kl_weight(epoch / 200) for epoch in (0, 25, 34, 200)] == pytest.approx([0, 0, 1, 1])
    assert 0 < kl_weight(30 / 200) < 1


def test_the_loss_sums_pixels_and_latent() -> None:
    net = CARSOPurifier([[4, 4, 4]], 16, condition=5, latent=3, width=8).eval()
    images, features = make_images(2), [torch.rand(2, 4, 4, 4)]
    step = Step.single(2, 0)
    found = carso_loss(net, features, images, images, step, beta=0.5)
    c = net.condition(features)
    mu, v = net.posterior(images, c)
    z = mu + (v / 2).exp() * Step.single(2, 0).randn_like(mu)
    drawn = net.decode(z, c)
    bce = -(images * drawn.log() + (1 - images) * (1 - drawn).log()).sum()
    kl = 0.5 * (mu**2 + v.exp() - v - 1).sum()
    torch.testing.assert_close(found, (bce + 0.5 * kl) / 2)


def test_lookahead_follows_every_k_steps() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = Lookahead(torch.optim.SGD([weight], 1.0), k=3, alpha=0.5)
    path = []
    for _ in range(6):
        weight.grad = -torch.ones(1)
        optimizer.step()
        path.append(weight.item())
    assert path == [1.0, 2.0, 1.5, 2.5, 3.5, 3.0]


def test_training_rebuilds_better_and_leaves_the_classifier_alone() -> None:
    net, trained = run(epochs=40, lr=2e-2)
    assert trained.losses[-1] < 0.95 * trained.losses[0]
    assert all(p.grad is None for p in net.parameters())


def test_resumed_is_identical_to_uninterrupted(tmp_path: Path) -> None:
    whole, first = run(lr=5e-3)
    options = {"checkpoint": tmp_path / "state.pt", "checkpoint_steps": 1, "lr": 5e-3}
    for stop in (2, 4):
        with pytest.raises(KeyboardInterrupt):
            run(stop=stop, **options)
    again, second = run(**options)
    assert first.losses == second.losses
    for key, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


def on_rank(ranks: Ranks, folder: str) -> dict[str, Any]:
    found = {}
    for name, has_norm in (("plain", False), ("norm", True)):
        net, trained = run(ranks=ranks, has_norm=has_norm, lr=1e-3)
        found[name] = {"state": net.state_dict(), "losses": trained.losses}
    return found


@pytest.mark.slow
def test_two_ranks_agree_and_end_with_the_weights_of_one(tmp_path: Path) -> None:
    one, two = run_apart("test_carso_training", 2, tmp_path)
    for name in ("plain", "norm"):
        assert one[name]["losses"] == two[name]["losses"]
        for key, value in one[name]["state"].items():
            assert torch.equal(two[name]["state"][key], value), (name, key)
    # with batch normalisation each rank sees its part of a minibatch: only without it, the same
    alone, trained = run(has_norm=False, lr=1e-3, n_ranks_of_rate=2)
    assert one["plain"]["losses"] == pytest.approx(trained.losses, rel=1e-5)
    for key, value in alone.state_dict().items():
        torch.testing.assert_close(one["plain"]["state"][key], value, rtol=1e-4, atol=1e-5)
