"""The inner attack raises what it should within its budget; training against it makes robust."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.attacks import PGD
from sparsedef.data import load_digits
from sparsedef.models import SmallCNN
from sparsedef.training import (
    OBJECTIVES,
    TRADES,
    CrossEntropy,
    LinfAscent,
    Perturb,
    Step,
    Tensors,
    accuracy,
    train_classifier,
)

EPS = 0.1


def make_images(count: int = 96, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A few strong clues that no attack within 0.1 turns, and many weak ones that it does."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    signs = (2.0 * labels - 1)[:, None]
    pixels = 0.5 + 0.05 * signs + 0.05 * torch.randn(count, 192, generator=generator)
    pixels[:, :12] = 0.5 + 0.25 * signs
    return pixels.clamp(0, 1).view(count, 3, 8, 8), labels


class Net(nn.Module):
    """A small net; by wish with batch normalisation and dropout, so that its mode matters."""

    def __init__(self, *, has_modes: bool = False) -> None:
        super().__init__()
        modes = [nn.BatchNorm1d(16), nn.Dropout(0.2)] if has_modes else []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = nn.Sequential(
                nn.Flatten(), nn.Linear(192, 16), nn.Tanh(), *modes, nn.Linear(16, 2)
            )

    def forward(self, images: Tensor) -> Tensor:
        assert images.min() >= 0
        assert images.max() <= 1
        return self.layers((images - 0.5) / 0.1)


def trained(objective: str, epochs: int = 20, *, has_modes: bool = False) -> Net:
    net, (images, labels) = Net(has_modes=has_modes), make_images(192)
    train_classifier(
        net, images, labels, objective=objective, eps=EPS, epochs=epochs, batch_size=32, shift=0,
        is_silent=True,
    )  # fmt: skip
    return net


def inner(objective: str) -> Perturb:
    """The attack inside of an objective, as a function of its model, images, labels and step."""
    made = OBJECTIVES[objective](EPS)
    if isinstance(made, TRADES):
        return lambda model, images, labels, step: made.attack(model, images, step)
    assert made.perturb is not None
    return made.perturb


@pytest.mark.parametrize("objective", ["fgsm_at", "pgd_at", "trades"])
def test_the_inner_attack_keeps_its_budget_and_raises_its_loss(objective: str) -> None:
    net, (images, labels) = trained("standard", epochs=4, has_modes=True), make_images()
    net.train()
    functional.cross_entropy(net(images), labels).backward()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    gradients = [each.grad.clone() for each in net.parameters()]
    attacked = inner(objective)(net, images, labels, Step.single(96, seed=1))
    assert (attacked - images).abs().max() <= EPS + 1e-6
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    assert not attacked.requires_grad
    assert net.training  # again
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert all(map(torch.equal, gradients, [each.grad for each in net.parameters()]))
    net.eval()
    rise = functional.cross_entropy(net(attacked), labels) / functional.cross_entropy(
        net(images), labels
    )
    assert rise > 5


def test_ten_steps_raise_the_loss_more_than_one() -> None:
    net, (images, labels) = trained("standard", epochs=4), make_images()
    losses = []
    for objective in ("fgsm_at", "pgd_at"):
        attacked = inner(objective)(net, images, labels, Step.single(96, seed=1))
        losses.append(functional.cross_entropy(net(attacked), labels).item())
    assert losses[1] > losses[0]


def divergence(net: nn.Module, images: Tensor, attacked: Tensor) -> float:
    p, q = net(images).softmax(1), net(attacked).softmax(1)
    return float((p * (p / q).log()).sum(1).mean().detach())


def test_trades_climbs_the_divergence() -> None:
    net, images = trained("standard", epochs=4), make_images()[0]
    objective = OBJECTIVES["trades"](EPS)
    assert isinstance(objective, TRADES)
    reached = divergence(net, images, objective.attack(net, images, Step.single(96, seed=1)))
    draw = Step.single(96, seed=1).randn_like(images)
    start, corner = ((images + size * draw).clamp(0, 1) for size in (0.001, 1e9))
    corner = corner.clamp(images - EPS, images + EPS)
    assert reached > 1000 * divergence(net, images, start)
    assert reached > 3 * divergence(net, images, corner)


def test_trades_is_its_formula() -> None:
    net, (images, labels) = trained("standard", epochs=2), make_images()
    objective = TRADES(LinfAscent(EPS, 10, EPS / 4), beta=3.0)
    value = objective(net, images, labels, Step.single(96, seed=1))
    attacked = objective.attack(net, images, Step.single(96, seed=1))
    clean = functional.cross_entropy(net(images), labels)
    torch.testing.assert_close(value, clean + 3 * divergence(net, images, attacked))


def test_both_answers_of_trades_are_differentiated() -> None:
    """A shift of both by the same amount costs nothing: their gradients cancel."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    images, labels = make_images()
    objective = TRADES(LinfAscent(EPS, 2, EPS), beta=1e4)
    objective(net, images, labels, Step.single(96, seed=1)).backward()
    p = net(images).softmax(1)
    q = net(objective.attack(net, images, Step.single(96, seed=1))).softmax(1)
    own = (p - functional.one_hot(labels, 2)).mean(0)
    log_ratio = (p / q).log()
    both = p * (log_ratio - (p * log_ratio).sum(1, keepdim=True)) + (q - p)
    expected = own + 1e4 * both.mean(0)
    torch.testing.assert_close(net[1].bias.grad, expected, rtol=1e-3, atol=1e-3)


def test_any_attack_can_be_the_inner_one() -> None:
    calls = []

    def darken(model: nn.Module, images: Tensor, labels: Tensor, step: Step) -> Tensor:
        calls.append(step.number)
        return images * 0.5

    net, (images, labels) = Net().eval(), make_images()
    loss = CrossEntropy(darken)(net, images, labels, Step.single(96, seed=0, number=7))
    torch.testing.assert_close(loss, functional.cross_entropy(net(images * 0.5), labels))
    assert calls == [7]


@pytest.mark.slow
def test_on_digits_every_objective_is_far_more_robust_than_none() -> None:
    pytest.importorskip("sklearn")
    digits, eps = load_digits(seed=0), 16 / 255
    attack = PGD(eps, steps=20)
    images, labels = digits.test.take(200).images, digits.test.take(200).labels
    robust = {}
    for objective in OBJECTIVES:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = SmallCNN(10, size=32, width=8)
        train_classifier(
            net, digits.train.images, digits.train.labels, objective=objective, eps=eps,
            epochs=8, is_silent=True,
        )  # fmt: skip
        assert accuracy(net, Tensors(images, labels)) > 0.85
        robust[objective] = 1 - attack(net, images, labels).success.double().mean().item()
    assert min(robust[name] for name in ("fgsm_at", "pgd_at", "trades")) > robust["standard"] + 0.3


def test_the_draws_follow_the_step_alone() -> None:
    net, (images, labels) = Net(), make_images()
    attack = inner("pgd_at")
    one, two = (attack(net, images, labels, Step.single(96, seed=1)) for _ in range(2))
    other = attack(net, images, labels, Step.single(96, seed=2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_a_budget_of_nothing_changes_nothing() -> None:
    net, (images, labels) = Net(), make_images()
    attack = LinfAscent(0.0, 3, 0.1)
    assert torch.equal(attack(net, images, labels, Step.single(96, seed=1)), images)


@pytest.mark.parametrize("objective", ["fgsm_at", "pgd_at", "trades"])
def test_training_against_the_attack_makes_robust(objective: str) -> None:
    images, labels = make_images(seed=5)
    data, attack = Tensors(images, labels), LinfAscent(EPS, 20, EPS / 8)
    assert accuracy(trained("standard"), data) > 0.95
    assert accuracy(trained("standard"), data, perturb=attack) < 0.3
    net = trained(objective)
    assert accuracy(net, data) > 0.9
    assert accuracy(net, data, perturb=attack) > 0.7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinfAscent(8, 10, 0.1), r"eps must be from 0 to 1, got 8 \(255ths"),
        (lambda: LinfAscent(float("nan"), 10, 0.1), "eps must be from 0 to 1, got nan"),
        (lambda: LinfAscent(0.1, 0, 0.1), "steps must be at least 1, got 0"),
        (lambda: LinfAscent(0.1, 5, -1.0), "step_size must be finite and >= 0, got -1.0"),
    ],
)
def test_bad_settings_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=f"LinfAscent: {message}"):
        make()
