"""CW-linf: the clipped margin, climbed by projected steps."""

import math

import pytest
import torch
from torch import Tensor

from sparsedef.attacks import PGD, CWLinf
from sparsedef.attacks.losses import margin
from tests.attacks.quadrants import Linear, Noisy, right_images, trained_net


def linear_problem(offset: float) -> tuple[Linear, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 4, 4, generator=draw, dtype=torch.float64)
    images = torch.rand(5, 2, 4, 4, generator=draw, dtype=torch.float64)
    return Linear(weight, offset), images, torch.zeros(5, dtype=torch.long)


def test_reaches_the_best_corner_of_a_linear_model() -> None:
    model, images, labels = linear_problem(100.0)
    wanted = (images - 0.1 * model.weight.sign()).clamp(0, 1)
    torch.testing.assert_close(CWLinf(0.1)(model, images, labels).images, wanted)


def test_follows_the_rule_step_by_step() -> None:
    net = trained_net()
    images, labels = right_images(net)
    wanted = images
    for _ in range(6):
        x = wanted.clone().requires_grad_()
        # the paper's f_6, which it minimises: max(z_true - max_other, -kappa)
        (grad,) = torch.autograd.grad((-margin(net(x), labels)).clamp_min(-0.5).sum(), x)
        step = wanted - 0.03 * grad.sign()
        wanted = torch.min(torch.max(step, images - 0.13), images + 0.13).clamp(0, 1)
    attack = CWLinf(0.13, confidence=0.5, steps=6, step_size=0.03)
    found = attack(net, images, labels, start=images).images
    climbing = margin(net(wanted), labels) < 0.5
    assert climbing.any()
    assert not climbing.all()
    # where the clip has stopped an image the rule stays at the point that reached kappa. Where it
    # has not, the best point on the way is returned, and it need not be the last
    torch.testing.assert_close(found[~climbing], wanted[~climbing])
    assert (margin(net(found), labels) >= margin(net(wanted), labels).clamp_max(0.5) - 1e-6).all()


@pytest.mark.parametrize("confidence", [0.0, 0.7])
def test_stops_at_the_first_point_that_reaches_the_confidence(confidence: float) -> None:
    model, images, labels = linear_problem(0.0)
    score = (images * model.weight).flatten(1).sum(1)
    model.offset = 1.0 - score.median().item()  # some are beaten from the start
    attack = CWLinf(0.4, confidence=confidence, steps=80, step_size=0.005)
    found = attack(model, images, labels, start=images)
    gain = margin(model(found.images), labels)
    started = margin(model(images), labels)
    most = 0.005 * model.weight.abs().sum()  # what one step can add
    climbed = started < confidence
    assert climbed.any()
    assert (gain[climbed] >= confidence).all()
    assert (gain[climbed] <= confidence + most).all()
    assert torch.equal(found.images[~climbed], images[~climbed])


def test_a_confidence_out_of_reach_gives_pgd_on_the_margin() -> None:
    net = trained_net()
    images, labels = right_images(net)
    options = {"steps": 10, "restarts": 2, "seed": 3}
    one = CWLinf(0.1, confidence=1e4, **options)(net, images, labels)
    two = PGD(0.1, loss="margin", **options)(net, images, labels)
    assert torch.equal(one.success, two.success)
    # the same points; 1e4 - margin rounds to 1e-3, so ties between near points may fall otherwise
    assert (margin(net(one.images), labels) - margin(net(two.images), labels)).abs().max() < 2e-3


def test_fools_as_many_as_pgd_with_as_many_gradients() -> None:
    net = trained_net()
    images, labels = right_images(net, 80)
    shares = []
    for eps in (0.1, 0.12, 0.13, 0.5):
        entropy = PGD(eps, steps=30)(net, images, labels).success
        found = CWLinf(eps)(net, images, labels).success
        assert found.sum() >= entropy.sum() - 1  # of 80; the two losses climb by other paths
        shares.append(found.float().mean().item())
    assert shares == sorted(shares)
    assert shares[0] < 0.9
    assert shares[-1] == 1


def test_more_steps_never_help_the_defender() -> None:
    net = trained_net()
    images, labels = right_images(net, 80)
    fallen = torch.zeros(len(labels), dtype=torch.bool)
    for steps in (2, 8, 30):
        attack = CWLinf(0.12, steps=steps, step_size=0.01)
        found = attack(net, images, labels, start=images).success
        assert (found | ~fallen).all()
        fallen = found


def test_a_confident_net_does_not_hide_from_the_margin() -> None:
    net = trained_net()
    images, labels = right_images(net)

    def confident(x: Tensor) -> Tensor:
        return 1000 * net(x)

    entropy = PGD(0.2, steps=30)(confident, images, labels)
    found = CWLinf(0.2)(confident, images, labels)
    assert entropy.health.zero[0] > 0.9 * len(images)
    assert entropy.success.float().mean() < 0.2
    assert found.success.all()
    assert sum(found.health.zero) == 0


def test_beaten_images_are_not_counted_as_masked() -> None:
    net = trained_net()
    images, labels = right_images(net)
    found = CWLinf(0.5, steps=20)(net, images, labels)
    assert found.success.all()
    assert found.health.asked == [len(images)] * 20
    assert found.health.zero == [0] * 20


def test_averages_over_a_random_model() -> None:
    noisy = Noisy(trained_net(), 0.1).eval()
    images, labels = right_images(trained_net(), 20)
    found = CWLinf(0.25, steps=20, draws=10)(noisy, images, labels)
    # the mean over draws reaches 0 only where no draw is below it, so it does not stop at half
    assert found.error_rate.mean() > 0.9


def test_the_seed_decides() -> None:
    net = trained_net()
    images, labels = right_images(net)
    runs = [CWLinf(0.05, steps=2, seed=s)(net, images, labels).images for s in (3, 3, 4)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": -1.0}, "CWLinf: confidence must be finite and >= 0, got -1"),
        ({"confidence": math.nan}, "CWLinf: confidence must be finite and >= 0, got nan"),
        ({"norm": "l2"}, "CWLinf: norm must be one of .*'linf'.*got 'l2'"),
    ],
)
def test_bad_settings_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CWLinf(0.1, **options)  # type: ignore[arg-type]
