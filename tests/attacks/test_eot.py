"""EOT averages gradients over draws of the model and of a transformation, and changes no more."""

import pytest
import torch
from torch import Tensor, nn

from sparsedef.attacks import BIM, CWL2, EOT, FGSM, PGD, Square
from sparsedef.attacks.ball import distance


class Linear(nn.Module):
    """Two classes, ``weight . x`` against 0; its best linf step is ``-sign(weight)``."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(48, generator=generator))
        self.offset = 0.5 * self.weight.sum().item() - 1

    def score(self, x: Tensor) -> Tensor:
        return x @ self.weight - self.offset

    def forward(self, images: Tensor) -> Tensor:
        score = self.score(images.flatten(1))
        return torch.stack([score, torch.zeros_like(score)], 1)


class Rippled(Linear):
    """The same boundary under a fast ripple: its gradient is almost only the ripple's."""

    def score(self, x: Tensor) -> Tensor:
        return super().score(x) + (0.01 * torch.sin(2500 * x)).sum(1)


class Scattered(Linear):
    """The same score plus noise times the image: one draw's gradient is almost only noise."""

    is_random = True

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def score(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().score(x) + (5 * torch.randn_like(x) * (x - 0.5)).sum(1)


def noise(images: Tensor) -> Tensor:
    return images + 0.02 * torch.randn_like(images)


def grey(count: int) -> tuple[Tensor, Tensor]:
    return torch.full((count, 3, 4, 4), 0.5), torch.zeros(count, dtype=torch.long)


def right_way(found: Tensor, images: Tensor, model: Linear) -> float:
    """Share of the pixels that moved down the true score."""
    moved = (found - images).flatten(1).sign()
    return float((moved == -model.weight.sign()).float().mean())


def test_it_is_the_attack_with_other_draws() -> None:
    images, labels = grey(5)
    for attack in (PGD(0.05, steps=3), CWL2(steps=5, rounds=2)):
        attack.draws = 6
        wanted = attack(Scattered(), images, labels)
        attack.draws = 20
        found = EOT(attack, 6)(Scattered(), images, labels)
        assert torch.equal(found.images, wanted.images)
        assert torch.equal(found.error_rate, wanted.error_rate)
        assert found.health == wanted.health


def test_it_asks_n_times_per_look() -> None:
    images, labels = grey(2)
    model = Scattered()
    EOT(BIM(0.05, steps=3, keep_best=False), 11)(model, images, labels)
    assert model.calls == 11 * (3 + 1), "three gradients and the final judgement"


def test_a_model_without_randomness_is_attacked_as_before() -> None:
    images, labels = grey(3)
    attack = PGD(0.05, steps=3, seed=4)
    wanted = attack(Rippled(), images, labels)
    assert torch.equal(EOT(attack, 7)(Rippled(), images, labels).images, wanted.images)


def test_name_and_budget_show_through() -> None:
    eot = EOT(PGD(0.05, norm="l2", seed=3), 7)
    assert (eot.name, eot.eps, eot.norm, eot.seed, eot.draws) == ("EOT(PGD)", 0.05, "l2", 3, 7)
    assert EOT(CWL2(), 3).eps is None
    assert EOT(EOT(FGSM(0.1), 2), 3).name == "EOT(EOT(FGSM))"


def test_many_draws_find_the_way_that_one_draw_misses() -> None:
    images, labels = grey(40)
    once = EOT(FGSM(0.05), 1)(Scattered(), images, labels).images
    often = EOT(FGSM(0.05), 1000)(Scattered(), images, labels).images
    # noise 5 / sqrt(n) against weights of size 1: about half the signs, then about 95 of 100
    assert right_way(once, images, Linear()) < 0.65
    assert right_way(often, images, Linear()) > 0.9


def test_a_transformation_sees_through_a_ripple() -> None:
    images, labels = grey(40)
    model = Rippled()
    plain = FGSM(0.05, loss="margin")
    # the ripple's slope at 0.5 is 25 cos(1250) = +23 in every pixel; its mean under noise is 0,
    # and that of 4000 draws 0 +- 0.3, against weights of size 1: about 91 signs of 100 are right
    assert right_way(plain(model, images, labels).images, images, model) < 0.65
    found = EOT(plain, 4000, transform=noise)(model, images, labels)
    assert right_way(found.images, images, model) > 0.8
    assert distance(images, found.images, "linf").max() <= 0.05 * (1 + 1e-5)
    truth = model(found.images).argmax(1) != labels
    assert torch.equal(found.success, truth), "judged on the image itself"
    assert found.success.all()
    assert found.health.asked == [40]


def test_a_shift_is_averaged_exactly() -> None:
    """Over both draws of a shift the gradient is their mean: here to the last pixel's sign."""
    model, shifts = Linear(), [0, 1] * 50

    def shift(images: Tensor) -> Tensor:
        return images.roll(shifts.pop(), dims=3)

    images, labels = grey(1)
    found = EOT(FGSM(0.05), 2, transform=shift)(model, images, labels).images
    weight = model.weight.view(3, 4, 4)
    wanted = -(weight + weight.roll(-1, dims=2)).sign()
    assert torch.equal((found - images)[0].sign(), wanted)


def test_same_seed_same_images_whatever_the_global_seed() -> None:
    images, labels = grey(3)
    attack = EOT(PGD(0.05, steps=3), 4, transform=noise)
    torch.manual_seed(1)
    first = attack(Rippled(), images, labels).images
    torch.manual_seed(2)
    assert torch.equal(attack(Rippled(), images, labels).images, first)


def test_begins_where_it_is_told() -> None:
    images, labels = grey(3)
    start = images + 0.03
    wanted = BIM(0.05, steps=2)(Linear(), images, labels, start=start).images
    found = EOT(BIM(0.05, steps=2), 2)(Linear(), images, labels, start=start).images
    assert torch.equal(found, wanted)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((PGD, 5), TypeError, "EOT: attack must be an Attack, such as PGD"),
        ((PGD(0.1), 0), ValueError, "EOT: n must be at least 1, got 0"),
        ((PGD(0.1), 2.5), TypeError, "EOT: n must be an int, got float"),
    ],
)
def test_bad_settings_are_named(arguments: tuple, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        EOT(*arguments)
    with pytest.raises(TypeError, match="EOT: transform must be callable, got int"):
        EOT(PGD(0.1), 2, transform=3)  # type: ignore[arg-type]


def test_it_asks_for_gradients_only_if_its_attack_does() -> None:
    assert EOT(PGD(0.1), 2).uses_gradient
    assert not EOT(Square(0.1), 2).uses_gradient
