"""LAAT's losses equal their formulas, in value and gradient; so does the attack on weights."""

import math

import pytest
import torch
from anchored_head import Head
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.training import Step, Tensors
from sparsedef.training.anchored import AnchorObjective, train_anchored
from sparsedef.training.augment import Augment, jitter, rotate
from sparsedef.training.weight_attack import perturbed_weights


class Darken:
    """An "attack" whose result a test can compute itself."""

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, step: Step) -> Tensor:
        return 0.5 * images

    def __repr__(self) -> str:
        return "Darken()"


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(6, 3, 2, 2, generator=generator), torch.tensor([0, 1, 2, 0, 1, 2])


def step() -> Step:
    return Step.single(6, seed=0)


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_the_loss_is_alignment_of_attacked_images_minus_their_nearness_to_clean_ones(
    batch: tuple[Tensor, Tensor], temperature: float
) -> None:
    head, (images, labels) = Head(temperature), batch
    clean, attacked = head.embed(images), head.embed(0.5 * images)
    cosines = functional.cosine_similarity(attacked[:, None], head.anchors[None], dim=2)
    scores = (cosines / temperature).exp()
    align = -(scores[torch.arange(6), labels] / scores.sum(1)).log().mean()
    near = (clean * attacked).sum(1) / clean.norm(dim=1) / attacked.norm(dim=1)
    expected = align - 0.7 * near.mean()
    found = AnchorObjective(Darken(), smoothness=0.7)(head, images, labels, step())
    torch.testing.assert_close(found, expected)
    weights = list(head.parameters())
    for mine, theirs in zip(
        torch.autograd.grad(found, weights), torch.autograd.grad(expected, weights), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


def test_both_sides_of_the_smoothness_take_a_gradient(batch: tuple[Tensor, Tensor]) -> None:
    head, (images, labels) = Head(), batch
    without = AnchorObjective(Darken(), smoothness=0.0)(head, images, labels, step())
    whole = AnchorObjective(Darken(), smoothness=1.0)(head, images, labels, step())
    weight = head.encoder[1].weight
    (found,) = torch.autograd.grad(whole - without, weight)
    features = [head.embed(images), head.embed(0.5 * images)]
    parts = []
    for number in (0, 1):
        one, other = features[number], features[1 - number].detach()
        near = -functional.cosine_similarity(one, other).mean()
        parts.append(torch.autograd.grad(near, weight, retain_graph=True)[0])
    torch.testing.assert_close(found, parts[0] + parts[1], rtol=1e-4, atol=1e-7)
    assert min(part.norm() for part in parts) > 1e-4


def test_cosine_and_angle_stand_in_for_cross_entropy(batch: tuple[Tensor, Tensor]) -> None:
    head, (images, labels) = Head(0.1), batch
    own = functional.cosine_similarity(head.embed(images), head.anchors[labels], dim=1)
    for alignment, expected in (("cos", -own.mean()), ("angle", own.acos().mean())):
        found = AnchorObjective(alignment=alignment)(head, images, labels, step())
        torch.testing.assert_close(found, expected)


def test_without_an_attack_nothing_is_compared_with_itself(batch: tuple[Tensor, Tensor]) -> None:
    head, (images, labels) = Head(), batch
    plain = functional.cross_entropy(head(images), labels)
    torch.testing.assert_close(AnchorObjective()(head, images, labels, step()), plain)


@pytest.mark.parametrize(
    "options",
    [{"alignment": "dot"}, {"smoothness": -1.0}, {"weight_radius": math.nan}],
    ids=["word", "negative", "nan"],
)
def test_settings_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="AnchorObjective"):
        AnchorObjective(**options)  # type: ignore[arg-type]


def test_weights_move_uphill_by_their_share_and_biases_stay(batch: tuple[Tensor, Tensor]) -> None:
    head, (images, labels) = Head(), batch

    def loss(weights: dict[str, Tensor]) -> Tensor:
        logits = torch.func.functional_call(head, weights, (images,))
        return functional.cross_entropy(logits, labels)

    before = {name: p.detach().clone() for name, p in head.named_parameters()}
    found = perturbed_weights(head, loss, 0.05)
    moved = found["encoder.1.weight"] - before["encoder.1.weight"]
    torch.testing.assert_close(moved.norm(), 0.05 * before["encoder.1.weight"].norm())
    assert torch.equal(found["encoder.1.bias"], before["encoder.1.bias"])
    assert loss(found) > loss(dict(head.named_parameters()))
    assert all(torch.equal(p, before[name]) for name, p in head.named_parameters())
    assert all(p.grad is None for p in head.parameters())
    with pytest.raises(ValueError, match="above 0"):
        perturbed_weights(head, loss, 0.0)


def test_a_weight_attack_descends_by_the_gradient_at_the_worst_weights(
    batch: tuple[Tensor, Tensor],
) -> None:
    head, (images, labels) = Head(has_norm=True).train(), batch
    objective = AnchorObjective(Darken(), weight_radius=0.05)
    found = objective(head, images, labels, step())
    (grad,) = torch.autograd.grad(found, head.encoder[1].weight)
    looks = head.encoder[2].num_batches_tracked.item()
    assert looks == 2  # attacked and clean; the look for the direction left no trace

    other = Head(has_norm=True).train()
    plain = AnchorObjective(Darken())
    weight = other.encoder[1].weight
    (uphill,) = torch.autograd.grad(plain(other, images, labels, step()), weight)
    with torch.no_grad():
        weight += 0.05 * weight.norm() * uphill / uphill.norm()
    expected = plain(other, images, labels, step())
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(grad, torch.autograd.grad(expected, weight)[0])


def test_the_rate_falls_once_at_sixty_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    head, rates = Head(), []
    optimizers: list[torch.optim.Optimizer] = []
    make = torch.optim.SGD.__init__

    def remembered(self: torch.optim.SGD, *args: object, **options: object) -> None:
        make(self, *args, **options)  # type: ignore[arg-type]
        optimizers.append(self)

    monkeypatch.setattr(torch.optim.SGD, "__init__", remembered)

    def objective(model: nn.Module, images: Tensor, labels: Tensor, step: Step) -> Tensor:
        rates.append(optimizers[0].param_groups[0]["lr"])
        return functional.cross_entropy(model(images), labels)

    source = Tensors(torch.rand(8, 3, 2, 2), torch.arange(8) % 3)
    train_anchored(head, source, objective, epochs=10, batch_size=4, is_silent=True)
    assert rates == pytest.approx([0.05] * 12 + [0.005] * 8)


def test_rotation_turns_a_picture_as_a_quarter_turn_does() -> None:
    images = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))

    class Fixed(Step):
        def rand_like(self, samples: Tensor) -> Tensor:
            return torch.ones_like(samples)

    quarter = rotate(images, Fixed(0, 0, 2, slice(0, 2), torch.Generator()), 90.0)
    turns = [images.rot90(times, (2, 3)) for times in (1, 3)]
    assert min((quarter - turn).abs().max() for turn in turns) < 1e-5


def test_jitter_keeps_range_and_black_and_leaves_grey_grey() -> None:
    images = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    found = jitter(images, Step.single(4, 0), 0.4)
    assert found.min() >= 0
    assert found.max() <= 1
    assert (found - images).abs().amax((1, 2, 3)).min() > 0.01
    grey = jitter(images.mean(1, keepdim=True).expand(-1, 3, -1, -1), Step.single(4, 0), 0.4)
    torch.testing.assert_close(grey[:, 0], grey[:, 2])


def test_an_augmentation_of_nothing_changes_nothing() -> None:
    images = torch.rand(4, 3, 5, 5)
    assert torch.equal(Augment()(images, Step.single(4, 0)), images)
    moved = Augment(shift=1, rotation=15.0, jitter=0.4, flip=True)(images, Step.single(4, 0))
    assert moved.shape == images.shape
    assert not torch.equal(moved, images)


def test_another_optimiser_is_taken_and_an_unknown_one_refused() -> None:
    source = Tensors(torch.rand(8, 3, 2, 2), torch.arange(8) % 3)
    options = {"epochs": 1, "batch_size": 4, "is_silent": True}
    heads = [Head(), Head()]
    for head, recipe in zip(heads, ("sgd", "adamw"), strict=True):
        train_anchored(head, source, AnchorObjective(), recipe=recipe, **options)  # type: ignore
    assert not torch.equal(heads[0].encoder[1].weight, heads[1].encoder[1].weight)
    with pytest.raises(ValueError, match="recipe"):
        train_anchored(Head(), source, AnchorObjective(), recipe="adam", **options)  # type: ignore
