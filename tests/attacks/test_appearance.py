"""Weather and light on any picture: the edit's gradient, what is found, and what is kept to."""

import pytest
import torch
from torch import Tensor

from sparsedef.attacks import Appearance
from sparsedef.attacks.semantic.appearance import KnobSpace
from sparsedef.attacks.semantic.photo_edits import KNOBS, NAMES, Fields, edit_photos


def photos(count: int = 6, size: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.3 + 0.4 * torch.rand(count, 3, size, size, generator=generator, dtype=torch.float64)


def fields(images: Tensor) -> Fields:
    return Fields.draw(images, torch.Generator().manual_seed(1))


def two_classes(score: Tensor) -> Tensor:
    return torch.stack([torch.zeros_like(score), score], 1)


def test_all_knobs_at_zero_leave_the_picture() -> None:
    images = torch.rand(3, 3, 8, 8, dtype=torch.float64)
    edited = edit_photos(images, torch.zeros(3, 6, dtype=torch.float64), fields(images))
    torch.testing.assert_close(edited, images)


def test_knobs_do_what_they_say() -> None:
    images = photos()
    drawn = fields(images)

    def turned(name: str, value: float) -> Tensor:
        values = torch.zeros(6, 6, dtype=torch.float64)
        values[:, NAMES.index(name)] = value
        return edit_photos(images, values, drawn)

    def spread(x: Tensor) -> Tensor:
        return x.std((1, 2, 3))

    luma = images.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    for name, value in (("hue", 30), ("saturation", -0.5)):
        edited = turned(name, value)
        torch.testing.assert_close((edited * luma).sum(1), (images * luma).sum(1))
    grey = turned("saturation", -1)
    torch.testing.assert_close(grey[:, 0], grey[:, 2])
    assert (turned("brightness", 0.3) > images).all()
    assert (turned("brightness", -0.3) < images).all()
    assert (spread(turned("contrast", -0.4)) < spread(images)).all()
    assert (spread(turned("contrast", 0.4)) > spread(images)).all()
    assert (spread(turned("fog", 0.7)) < 0.6 * spread(images)).all()
    snowy = turned("snow", 0.9) > images + 0.1
    share = snowy.double().mean((1, 2, 3))
    assert (share > 0.02).all()
    assert (share < 0.4).all()


def test_gradient_agrees_with_finite_differences() -> None:
    images = photos(2, 6)
    drawn = fields(images)
    values = torch.tensor(
        [[20, 0.2, -0.2, 0.1, 0.3, 0.4], [-30, -0.3, 0.1, -0.2, 0.1, 0.2]],
        dtype=torch.float64, requires_grad=True,
    )  # fmt: skip
    assert torch.autograd.gradcheck(lambda v: edit_photos(images, v, drawn), values)


def test_every_knob_has_a_gradient_at_the_clean_picture_black_and_white_too() -> None:
    images = photos()
    images[:, :, :4], images[:, :, 4:6] = 0, 1
    values = torch.zeros(6, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(images.shape, generator=torch.Generator().manual_seed(2)).double()
    edited = edit_photos(images, values, fields(images))
    (grad,) = torch.autograd.grad((weight * edited).sum(), values)
    assert (grad.abs() > 1e-3).all()


def needles() -> list[tuple[str, object]]:
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(1, 3, 1, 1)

    def colour(x: Tensor) -> Tensor:
        return (x - (x * luma).sum(1, keepdim=True)).square().mean((1, 2, 3)).sqrt()

    return [
        ("brightness", lambda x: two_classes(8 * (x.mean((1, 2, 3)) - 0.6))),
        ("contrast", lambda x: two_classes(x.std((1, 2, 3)) - 0.15)),
        ("saturation", lambda x: two_classes(colour(x) - 0.13)),
        ("snow", lambda x: two_classes(20 * (x**6).mean((1, 2, 3)) - 1.2)),
    ]


@pytest.mark.parametrize(("name", "model"), needles())
def test_finds_the_one_edit_that_a_model_is_sensitive_to(name: str, model: object) -> None:
    images, labels = photos(), torch.zeros(6, dtype=torch.long)
    assert (model(images).argmax(1) == 0).all()
    settings = {"steps": 30, "samples": 0}
    assert Appearance(edits=(name,), **settings)(model, images, labels).success.all()
    assert Appearance(**settings)(model, images, labels).success.all()
    weak = Appearance(edits=(name,), budget=1e-3, **settings)(model, images, labels)
    assert not weak.success.any()


def test_finds_nothing_where_nothing_can_be_found() -> None:
    """Brightness, contrast and colour cannot change which half of the picture is the brighter."""
    images = photos()
    images[..., 6:] += 0.2

    def right_half(x: Tensor) -> Tensor:
        return two_classes(x[..., 6:].mean((1, 2, 3)) - x[..., :6].mean((1, 2, 3)))

    attack = Appearance(edits=("hue", "saturation", "contrast", "brightness"), restarts=2)
    assert not attack(right_half, images, torch.ones(6, dtype=torch.long)).success.any()


def test_random_draws_find_what_a_masked_gradient_hides() -> None:
    def stairs(x: Tensor) -> Tensor:
        mean = x.mean((1, 2, 3))
        return two_classes((8 * (mean - 0.6)).round() + 0 * mean)

    images, labels = photos(), torch.zeros(6, dtype=torch.long)
    blind = Appearance(edits=("brightness",), samples=0)(stairs, images, labels)
    assert not blind.success.any()
    assert blind.health.zero == blind.health.asked
    found = Appearance(edits=("brightness",), samples=20)(stairs, images, labels)
    assert found.success.all()


def hard(x: Tensor) -> Tensor:
    mean = x.mean((2, 3))
    return two_classes((mean[:, 0] - mean[:, 1] + 0.3 * torch.sin(9 * mean[:, 2])) - 0.5)


@pytest.mark.parametrize("more", [{"steps": 24}, {"restarts": 4}])
def test_a_longer_search_is_never_weaker(more: dict) -> None:
    images, labels = photos(), torch.zeros(6, dtype=torch.long)
    short = Appearance(steps=6, samples=4)(hard, images, labels).images
    long = Appearance(**{"steps": 6, "samples": 4, **more})(hard, images, labels).images
    assert (hard(long)[:, 1] >= hard(short)[:, 1] - 1e-12).all()
    assert (hard(long)[:, 1] > hard(short)[:, 1] + 1e-6).any()


def test_knobs_stay_in_the_box() -> None:
    images = photos()
    space = KnobSpace(images, fields(images), NAMES, budget=0.5)
    every = torch.arange(6)
    drawn = space.sample(torch.Generator().manual_seed(0))
    low = drawn.new_tensor([-1.0 if knob.low < 0 else 0.0 for knob in KNOBS])
    assert ((drawn >= low) & (drawn <= 1)).all()
    wild = space.project(5 * torch.randn(6, 6, dtype=torch.float64), every)
    assert ((wild >= low) & (wild <= 1)).all()
    half = 0.5 * torch.tensor([knob.high for knob in KNOBS], dtype=torch.float64)
    corner = torch.ones(6, 6, dtype=torch.float64)
    expected = edit_photos(images, half.expand(6, 6), space.fields)
    torch.testing.assert_close(space.images(corner, every), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 1.5}, "budget must be <= 1, got 1.5"),
        ({"budget": 0}, "budget must be finite and > 0"),
        ({"edits": ("rain",)}, "edits must be one of .*got 'rain'"),
        ({"edits": ()}, "at least one knob"),
        ({"optimizer": "sgd"}, "optimizer must be one of"),
        ({"steps": 0}, "steps must be at least 1"),
    ],
)
def test_bad_settings_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Appearance(**options)
