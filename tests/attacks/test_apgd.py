"""APGD follows its published rule and reaches optima that are known in closed form."""

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from sparsedef.attacks import APGD, BIM, APGDTargeted
from sparsedef.attacks.apgd import checkpoints
from sparsedef.attacks.losses import margin

Batch = tuple[Tensor, Tensor]
BOTH = pytest.mark.parametrize("attack", [APGD, APGDTargeted])
NORMS = pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 0.6)])


@pytest.fixture
def curved() -> nn.Module:
    """A net that bends a lot within the budget, so that big steps overshoot."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 24), nn.Tanh(), nn.Linear(24, 5)).double()
    with torch.no_grad():
        net[1].weight.mul_(8)
    return net


@pytest.fixture
def batch(curved: nn.Module) -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(12, 3, 4, 4, generator=generator, dtype=torch.float64)
    return images, curved(images).argmax(1)


def line(weight: Tensor, offset: Tensor) -> Callable[[Tensor], Tensor]:
    """Two classes told apart by ``s = w x - offset``, and two that are always far behind."""

    def model(images: Tensor) -> Tensor:
        score = images.flatten(1) @ weight - offset
        far = torch.full_like(score, -10.0)
        return torch.stack([score, -score, far, far - 2], 1)

    return model


def test_checkpoints_are_the_published_ones() -> None:
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    shares, window = [Fraction(22, 100)], Fraction(22, 100)
    while shares[-1] + max(window - Fraction(3, 100), Fraction(6, 100)) <= 1:
        window = max(window - Fraction(3, 100), Fraction(6, 100))
        shares.append(shares[-1] + window)
    for steps in (1, 2, 5, 10, 37, 1000):
        assert checkpoints(steps) == sorted({math.ceil(p * steps) for p in shares})


LINEAR = [(APGD, {"loss": loss}) for loss in ("ce", "dlr", "margin")]
LINEAR += [(APGDTargeted, {"loss": loss, "n_targets": 1}) for loss in ("dlr", "margin")]


@pytest.mark.parametrize(("attack", "options"), LINEAR)
@NORMS
def test_apgd_reaches_the_optimum_of_a_linear_model(
    attack: type[APGD], options: dict, norm: str, eps: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(48, generator=generator, dtype=torch.float64) * 0.2
    images = torch.rand(9, 3, 1, 16, generator=generator, dtype=torch.float64) * 0.2 + 0.4
    images = images.reshape(9, 3, 4, 4)
    model = line(weight, (images.flatten(1) @ weight).median() - 0.1)
    labels = model(images).argmax(1)
    length = weight.abs().sum() if norm == "linf" else weight.norm()
    wanted = margin(model(images), labels) + 2 * eps * length
    found = attack(eps, norm=norm, steps=50, **options)(model, images, labels)
    # linf lands on the corner; L2 turns towards it, a third of the angle left at each step
    torch.testing.assert_close(margin(model(found.images), labels), wanted, rtol=1e-6, atol=1e-9)


def best_in_ball_and_box(weight: Tensor, image: Tensor, eps: float) -> Tensor:
    """Maximises ``w d`` for ``||d|| <= eps`` and ``image + d`` in [0, 1]: ``clip(c w)``."""
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        step = torch.minimum(torch.maximum(middle * weight, -image), 1 - image)
        low, high = (middle, high) if step.norm() < eps else (low, middle)
    return step


def test_apgd_l2_nears_the_optimum_where_pixels_hit_black_and_white() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(48, generator=generator, dtype=torch.float64) * 0.2
    images = torch.rand(9, 3, 4, 4, generator=generator, dtype=torch.float64)
    model = line(weight, (images.flatten(1) @ weight).median() - 0.1)
    labels = model(images).argmax(1)
    found = APGD(2.0, norm="l2", loss="margin")(model, images, labels)
    gain = margin(model(found.images), labels) - margin(model(images), labels)
    for image, label, reached in zip(images.flatten(1), labels, gain, strict=True):
        down = weight * (2 * label - 1)
        step = best_in_ball_and_box(down, image, 2.0)
        assert ((image + step == 0) | (image + step == 1)).sum() > 5
        # Ball.project scales, then clips: what clipping takes is won back by later, smaller steps
        assert 0.99 < reached / (2 * down @ step) <= 1 + 1e-9


def by_hand(
    model: nn.Module, image: Tensor, label: Tensor, start: Tensor, eps: float, steps: int
) -> tuple[Tensor, set[str]]:
    """The published rule for one image in linf, climbing the margin.

    Returns:
        The highest point, and what the checkpoints found.
    """

    def look(x: Tensor) -> tuple[float, Tensor, Tensor]:
        x = x.clone().requires_grad_()
        value = margin(model(x[None]), label[None])[0]
        return value.item(), x.detach(), torch.autograd.grad(value, x)[0]

    def project(x: Tensor) -> Tensor:
        return torch.min(torch.max(x, image - eps), image + eps).clamp(0, 1)

    points = [look(start)]
    peak, eta, reasons = points[0], 2 * eps, set()
    gains, last, peak_then, was_halved = 0, 0, peak[0], False
    for k in range(1, steps + 1):
        value, x, grad = points[-1]
        new = project(x + eta * grad.sign())
        if k > 1:
            new = project(x + 0.75 * (new - x) + 0.25 * (x - points[-2][1]))
        points.append(look(new))
        gains += points[-1][0] > value
        peak = max(peak, points[-1], key=lambda point: point[0])
        if k in checkpoints(steps):
            is_rare, is_flat = gains < 0.75 * (k - last), peak[0] <= peak_then
            why = "idle" if not was_halved else "idle, but just halved"
            reasons.add("rare" if is_rare else why if is_flat else "kept")
            was_halved = is_rare or (is_flat and not was_halved)
            if was_halved:
                eta, points[-1] = eta / 2, peak
            gains, last, peak_then = 0, k, peak[0]
    return peak[1], reasons


def test_apgd_follows_the_published_rule_image_by_image(curved: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(40, 3, 4, 4, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        curved[1].weight.mul_(0.5)  # less bent, every case of the rule is met
    labels, start = curved(images).argmax(1), (images + 0.12).clamp(0, 1)
    found = APGD(0.2, steps=40, loss="margin")(curved, images, labels, start=start).images
    wanted, why = zip(
        *(
            by_hand(curved, *case, eps=0.2, steps=40)
            for case in zip(images, labels, start, strict=True)
        ),
        strict=True,
    )
    same = (found - torch.stack(wanted)).abs().flatten(1).amax(1) < 1e-9
    # one may part ways: a batch rounds otherwise than a single image, and steps go by signs
    assert same.sum() >= 39
    cases = {"rare", "idle", "idle, but just halved", "kept"}
    assert set().union(*why) == cases, "the problem does not show the whole rule"


def test_apgd_settles_on_a_peak_that_big_steps_jump_over() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(8, 3, 4, 4, generator=generator, dtype=torch.float64) * 0.6 + 0.2
    peak = images + 0.05 * (2 * torch.rand(images.shape, generator=generator).double() - 1)

    def bowl(x: Tensor) -> Tensor:
        away = (x - peak[: len(x)]).flatten(1).square().sum(1)
        return torch.stack([away + 0.01, torch.zeros_like(away)], 1)

    labels, options = torch.zeros(8, dtype=torch.long), {"loss": "margin", "steps": 100}
    found = APGD(0.1, **options)(bowl, images, labels)
    fixed = BIM(0.1, step_size=0.2, **options)(bowl, images, labels)
    missed = (found.images - peak).abs().flatten(1).amax(1)
    assert missed.max() < 0.1 * (fixed.images - peak).abs().flatten(1).amax(1).min()


@NORMS
def test_apgd_returns_the_highest_point_that_it_visited(
    norm: str, eps: float, curved: nn.Module, batch: Batch
) -> None:
    images, labels = batch
    seen = []

    def watched(x: Tensor) -> Tensor:
        logits = curved(x)
        seen.append(margin(logits.detach(), labels))
        return logits

    found = APGD(eps / 20, norm=norm, steps=30, loss="margin")(watched, images, labels)
    torch.testing.assert_close(margin(curved(found.images), labels), torch.stack(seen).amax(0))


@BOTH
@NORMS
def test_an_image_fares_alike_alone_and_in_a_batch(
    attack: type[APGD], norm: str, eps: float, curved: nn.Module, batch: Batch
) -> None:
    images, labels = batch
    run = attack(eps, norm=norm, steps=40, loss="dlr")
    together = run(curved, images, labels, start=images)
    for i in range(len(images)):
        one = slice(i, i + 1)
        alone = run(curved, images[one], labels[one], start=images[one])
        torch.testing.assert_close(alone.images, together.images[one])


@BOTH
def test_restarts_only_help_and_spare_what_has_fallen(
    attack: type[APGD], curved: nn.Module, batch: Batch
) -> None:
    images, labels = batch
    options = {"n_targets": 1} if attack is APGDTargeted else {}
    one = attack(0.05, steps=10, **options)(curved, images, labels)
    three = attack(0.05, steps=10, restarts=3, **options)(curved, images, labels)
    assert (three.success | ~one.success).all()
    assert 0 < one.success.sum() < len(images)
    asked = three.health.asked
    assert asked[:10] == [len(images)] * 10
    assert asked[10:20] == [int((~one.success).sum())] * 10


def test_targeted_apgd_tries_every_class_it_was_given() -> None:
    def model(x: Tensor) -> Tensor:  # only class 2, third on the clean image, can be reached
        zero = 0 * x.flatten(1).sum(1)
        return torch.stack([zero + 1, zero + 0.9, 8 * (x.flatten(1).mean(1) - 0.5), zero - 1], 1)

    images, labels = torch.full((3, 3, 4, 4), 0.5), torch.zeros(3, dtype=torch.long)
    for count, falls in ((1, False), (2, True), (9, True)):
        attack = APGDTargeted(0.2, steps=10, loss="margin", n_targets=count)
        assert attack(model, images, labels).success.tolist() == [falls] * 3


def test_dlr_finds_its_way_where_confidence_blinds_cross_entropy(
    curved: nn.Module, batch: Batch
) -> None:
    images, labels = batch

    def confident(x: Tensor) -> Tensor:
        return 1024 * curved(x)

    options = {"steps": 20, "seed": 3}
    blind = APGD(0.05, loss="ce", **options)(confident, images, labels)
    assert sum(blind.health.zero) > 0
    for attack in (APGD(0.05, loss="dlr", **options), APGDTargeted(0.05, **options)):
        found = attack(confident, images, labels)
        # 1024 is a power of 2: all but the 1e-12 in the denominator scales without rounding
        torch.testing.assert_close(found.images, attack(curved, images, labels).images)
        assert sum(found.health.zero) == 0
        assert found.success.sum() > blind.success.sum()


@BOTH
def test_apgd_of_zero_radius_changes_nothing(
    attack: type[APGD], curved: nn.Module, batch: Batch
) -> None:
    for norm in ("linf", "l2"):
        assert torch.equal(attack(0.0, norm=norm, steps=5)(curved, *batch).images, batch[0])


@pytest.mark.parametrize(
    ("attack", "options", "message"),
    [
        (APGD, {"steps": 0}, "APGD: steps must be at least 1, got 0"),
        (APGD, {"restarts": 0}, "APGD: restarts must be at least 1, got 0"),
        (APGDTargeted, {"n_targets": 0}, "APGDTargeted: n_targets must be at least 1, got 0"),
        (APGDTargeted, {"loss": "ce"}, r"loss must be one of \['dlr', 'margin'\], got 'ce'"),
    ],
)
def test_bad_apgd_settings_are_named(attack: type[APGD], options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attack(0.1, **options)
