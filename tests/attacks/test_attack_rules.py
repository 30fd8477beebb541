"""Each attack follows its published update rule."""

import pytest
import torch
from torch import Tensor, nn

from sparsedef.attacks import BIM, CWL2, FGSM, MIFGSM, PGD, rescale
from sparsedef.attacks.ball import Ball
from sparsedef.attacks.losses import cross_entropy, margin


@pytest.fixture
def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).double()


@pytest.fixture
def batch(linear: nn.Module) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(6, 3, 4, 4, generator=generator, dtype=torch.float64) * 0.6 + 0.2
    return images, linear(images).argmax(1)


def gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    images = images.clone().requires_grad_()
    (grad,) = torch.autograd.grad(cross_entropy(model(images), labels).sum(), images)
    return grad


def test_fgsm_is_one_clipped_sign_step(linear: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    images, labels = batch
    wanted = (images + 0.3 * gradient(linear, images, labels).sign()).clamp(0, 1)
    torch.testing.assert_close(FGSM(0.3)(linear, images, labels).images, wanted)


def test_fgsm_l2_is_one_step_along_the_unit_gradient(linear, batch) -> None:  # type: ignore
    images, labels = batch
    grad = gradient(linear, images, labels)
    wanted = images + 0.1 * grad / grad.flatten(1).norm(dim=1)[:, None, None, None]
    torch.testing.assert_close(FGSM(0.1, norm="l2")(linear, images, labels).images, wanted)


def test_bim_repeats_projected_sign_steps(linear, batch) -> None:  # type: ignore
    images, labels = batch
    wanted = images
    for _ in range(4):
        step = wanted + 0.02 * gradient(linear, wanted, labels).sign()
        wanted = torch.min(torch.max(step, images - 0.05), images + 0.05).clamp(0, 1)
    attack = BIM(0.05, steps=4, step_size=0.02, keep_best=False)
    torch.testing.assert_close(attack(linear, images, labels).images, wanted)


def test_mi_fgsm_carries_the_momentum_of_normalised_gradients(linear, batch) -> None:  # type: ignore
    images, labels = batch
    wanted, momentum = images, torch.zeros_like(images)
    for _ in range(5):
        grad = gradient(linear, wanted, labels)
        momentum = 0.9 * momentum + grad / grad.abs().flatten(1).sum(1)[:, None, None, None]
        step = wanted + 0.02 * momentum.sign()
        wanted = torch.min(torch.max(step, images - 0.1), images + 0.1).clamp(0, 1)
    attack = MIFGSM(0.1, steps=5, decay=0.9, keep_best=False)
    torch.testing.assert_close(attack(linear, images, labels).images, wanted)


def test_mi_fgsm_without_memory_is_bim(linear, batch) -> None:  # type: ignore
    options = {"steps": 6, "step_size": 0.03, "norm": "l2"}
    first = MIFGSM(0.4, decay=0.0, **options)(linear, *batch).images
    torch.testing.assert_close(first, BIM(0.4, **options)(linear, *batch).images)


def test_keeping_the_best_is_never_weaker_than_the_last_point() -> None:
    def wavy(x: Tensor) -> Tensor:
        return torch.stack([torch.cos(60 * x.flatten(1).mean(1)), 0 * x[:, 0, 0, 0]], 1)

    images = torch.rand(40, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = wavy(images).argmax(1)
    options = {"steps": 4, "step_size": 0.05, "loss": "margin"}
    last = BIM(0.2, keep_best=False, **options)(wavy, images, labels)
    best = BIM(0.2, **options)(wavy, images, labels)
    assert (margin(wavy(best.images), labels) >= margin(wavy(last.images), labels)).all()
    assert best.success.sum() > last.success.sum()


def test_pgd_starts_inside_the_ball_and_restarts_only_help() -> None:
    centre = torch.full((50, 3, 4, 4), 0.5)
    for norm, eps in (("linf", 0.1), ("l2", 0.3)):
        ball = Ball(centre, eps, norm)  # type: ignore[arg-type]
        start = ball.random_start(torch.Generator().manual_seed(0))
        assert ball.contains(start)
        assert (start - centre).abs().flatten(1).amax(1).min() > 0
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 30), nn.Tanh(), nn.Linear(30, 3))
    labels = model(centre).argmax(1)
    one = PGD(0.02, steps=3, restarts=1)(model, centre, labels)
    four = PGD(0.02, steps=3, restarts=4)(model, centre, labels)
    assert (four.success | ~one.success).all()


def test_zero_radius_changes_nothing(linear, batch) -> None:  # type: ignore
    for attack in (FGSM(0.0), BIM(0.0), PGD(0.0), MIFGSM(0.0, norm="l2")):
        assert torch.equal(attack(linear, *batch).images, batch[0])


def test_cw_finds_the_distance_to_a_linear_boundary() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(48, generator=generator, dtype=torch.float64)
    images = torch.rand(5, 3, 4, 4, generator=generator, dtype=torch.float64) * 0.4 + 0.3
    offset = (images.flatten(1) @ weight).min() - 0.5

    def model(x: Tensor) -> Tensor:
        score = x.flatten(1) @ weight - offset
        return torch.stack([score, torch.zeros_like(score)], 1)

    labels = torch.zeros(5, dtype=torch.long)
    truth = (images.flatten(1) @ weight - offset) / weight.norm()
    result = CWL2(steps=300, rounds=6, learning_rate=0.02)(model, images, labels)
    assert result.success.all()
    assert (result.distance / truth).min() >= 1
    assert (result.distance / truth).max() < 1.03


def test_cw_leaves_misclassified_images_alone(linear, batch) -> None:  # type: ignore
    images, labels = batch
    result = CWL2(steps=5, rounds=1)(linear, images, (labels + 1) % 3)
    assert result.success.all()
    assert result.distance.max() == 0


def test_cw_says_when_nothing_works() -> None:
    def stubborn(x: Tensor) -> Tensor:
        return torch.stack([10 + 0 * x.flatten(1).sum(1), x.flatten(1).mean(1)], 1)

    result = CWL2(steps=5, rounds=2)(stubborn, torch.rand(3, 3, 4, 4), torch.zeros(3).long())
    assert not result.success.any()


def test_cw_reaches_the_confidence_it_was_asked_for(linear, batch) -> None:  # type: ignore
    images, labels = batch
    attack = CWL2(steps=200, rounds=4, learning_rate=0.05, first_weight=1.0, confidence=0.5)
    result = attack(linear, images, labels)
    assert result.success.all()
    assert margin(linear(result.images), labels).min() >= 0.5 - 1e-9


def test_rescale_stretches_to_the_wanted_length_and_clips() -> None:
    images = torch.full((2, 3, 4, 4), 0.5)
    attacked = images + 0.01
    wanted = torch.tensor([1.0, 100.0])
    found = rescale(images, attacked, wanted)
    torch.testing.assert_close((found - images)[0].norm(), torch.tensor(1.0))
    assert found[1].max() == 1
    assert torch.equal(rescale(images, images, wanted), images)


def test_projection_is_inside_and_leaves_inner_points_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    centre = torch.rand(20, 3, 4, 4, generator=generator)
    far = centre + 3 * torch.randn(20, 3, 4, 4, generator=generator)
    for norm, eps in (("linf", 0.07), ("l2", 0.5)):
        ball = Ball(centre, eps, norm)  # type: ignore[arg-type]
        inside = ball.project(far)
        assert ball.contains(inside)
        torch.testing.assert_close(ball.project(inside), inside)
        assert not ball.contains(far)
