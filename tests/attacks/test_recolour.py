"""Recolouring: colours converted right, lightness kept, regions kept natural."""

import pytest
import torch
from torch import Tensor

from sparsedef.attacks import Recolour
from sparsedef.attacks.semantic import colour_difference, lab_to_rgb, rgb_to_lab
from sparsedef.attacks.semantic.recolour import recolour


def photos(count: int = 6, size: int = 12, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, size, size, generator=generator, dtype=dtype)


def test_lab_agrees_with_scikit_image_both_ways() -> None:
    color = pytest.importorskip("skimage.color")
    images = photos()
    images[0, :, 0, 0], images[0, :, 0, 1], images[0, :, 0, 2] = 0, 1, 0.02
    lab = rgb_to_lab(images)
    theirs = torch.from_numpy(color.rgb2lab(images.permute(0, 2, 3, 1).numpy()))
    # scikit-image rounds the constants at the knee, to about 1e-3 of L, a and b
    torch.testing.assert_close(lab.permute(0, 2, 3, 1), theirs, atol=2e-3, rtol=0)
    back = torch.from_numpy(color.lab2rgb(theirs.numpy())).permute(0, 3, 1, 2)
    torch.testing.assert_close(lab_to_rgb(lab), back, atol=1e-4, rtol=0)


def test_lab_comes_back_whole_with_a_finite_exact_gradient() -> None:
    images = photos(2, 3)
    images[0, :, 0, 0] = 0
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(images)), images)
    images = (0.05 + 0.9 * photos(2, 3)).requires_grad_()
    assert torch.autograd.gradcheck(rgb_to_lab, images)
    lab = rgb_to_lab(images).detach().requires_grad_()
    assert torch.autograd.gradcheck(lab_to_rgb, lab)
    black = torch.zeros(1, 3, 2, 2, requires_grad=True)
    (grad,) = torch.autograd.grad(lab_to_rgb(rgb_to_lab(black)).sum(), black)
    assert bool(torch.isfinite(grad).all())


def test_black_and_white_are_one_apart() -> None:
    white = torch.ones(2, 3, 4, 4, dtype=torch.float64)
    difference = colour_difference(white, torch.stack([white[0], 0 * white[0]]))
    torch.testing.assert_close(difference, difference.new_tensor([0, 1]), atol=1e-5, rtol=0)


class Red(torch.nn.Module):
    """Class 1 where the mean of red exceeds that of blue by ``more``."""

    def __init__(self, more: float = 0.0) -> None:
        super().__init__()
        self.more = more
        self.n_looks: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.n_looks.append(len(images))
        mean = images.mean((2, 3))
        score = mean[:, 0] - mean[:, 2] - self.more
        return torch.stack([torch.zeros_like(score), score], 1)


def test_lightness_stays_where_a_screen_can_show_the_colour() -> None:
    grey = 0.4 + 0.2 * photos()
    found = Recolour(trials=20)(Red(0.15), grey, torch.zeros(6, dtype=torch.long))
    lab, clean = rgb_to_lab(found.images), rgb_to_lab(grey)
    shown = (found.images > 0).all(1) & (found.images < 1).all(1)
    assert bool(found.success.all())
    assert shown.float().mean() > 0.9
    torch.testing.assert_close(lab[:, 0][shown], clean[:, 0][shown], atol=1e-6, rtol=0)
    # one shift for all pixels of an image
    shift = (lab - clean)[:, 1:].permute(0, 2, 3, 1)
    for each, mask in zip(shift, shown, strict=True):
        assert each[mask].std(0).max() < 1e-6


def test_finds_colours_and_nothing_in_a_model_of_lightness() -> None:
    def lightness(images: Tensor) -> Tensor:
        score = rgb_to_lab(images)[:, 0].mean((1, 2)) - 50
        return torch.stack([torch.zeros_like(score), score], 1)

    images = 0.35 + 0.2 * photos()
    labels = lightness(images).argmax(1)
    attack = Recolour(trials=100, reach=20)  # colours that a screen can show
    assert not attack(lightness, images, labels).success.any()
    assert attack(Red(), images, Red()(images).argmax(1)).success.all()


def test_stops_at_the_first_success_and_never_asks_more_than_it_says() -> None:
    images = 0.4 + 0.2 * photos()
    model, attack = Red(0.2), Recolour(trials=30)
    attack(model, images, torch.zeros(6, dtype=torch.long))
    searched = model.n_looks[:-1]  # the last is the judgement
    assert searched == sorted(searched, reverse=True)
    assert len(searched) < attack.queries
    model = Red(9.0)  # never
    attack(model, images, torch.zeros(6, dtype=torch.long))
    assert model.n_looks == [6] * (attack.queries + 1)


def test_more_restarts_are_never_weaker() -> None:
    images = 0.4 + 0.2 * photos()
    labels = torch.zeros(6, dtype=torch.long)
    once, thrice = (
        Recolour(trials=5, restarts=n)(Red(0.2), images, labels).success for n in (1, 3)
    )
    assert bool((thrice | ~once).all())
    assert thrice.sum() > once.sum()


def test_regions_keep_natural_colours() -> None:
    images = 0.3 + 0.4 * photos()
    lab = rgb_to_lab(images)
    masks = {
        name: torch.zeros(6, 1, 12, 12, dtype=torch.float64)
        for name in ("sky", "vegetation", "person")
    }
    masks["sky"][:, :, :4], masks["vegetation"][:, :, 4:8] = 1, 1
    masks["person"][:, :, 8:, :6] = 1
    for seed in range(5):
        drawn = torch.rand(4, 6, 2, generator=torch.Generator().manual_seed(seed)).double()
        shift = 40 * (2 * drawn - 1)
        found = recolour(lab, shift, masks)
        shown = ((found > 0) & (found < 1)).all(1)
        a, b = rgb_to_lab(found)[:, 1:].unbind(1)
        was_a, was_b = lab[:, 1:].unbind(1)
        sky, plants = torch.zeros_like(shown), torch.zeros_like(shown)
        sky[:, :4], plants[:, 4:8] = True, True
        slack = 1e-6
        assert bool((a <= was_a.clamp_min(0) + slack)[sky & shown].all())
        assert bool((b <= was_b.clamp_min(0) + slack)[sky & shown].all())
        assert bool((a <= was_a.clamp_min(0) + slack)[plants & shown].all())
        assert bool((b >= was_b.clamp_max(0) - slack)[plants & shown].all())
        torch.testing.assert_close(found[:, :, 8:, :6], images[:, :, 8:, :6])
        free = rgb_to_lab(found)[:, 1:, 8:, 6:] - lab[:, 1:, 8:, 6:]
        moved = shift[0, :, :, None, None].expand_as(free)
        inside = shown[:, None, 8:, 6:].expand_as(free)
        torch.testing.assert_close(free[inside], moved[inside], atol=1e-6, rtol=0)


def test_a_person_is_left_alone_by_the_attack() -> None:
    images = 0.3 + 0.4 * photos()
    mask = torch.zeros(6, 12, 12)
    mask[:, :, :6] = 1
    labels = torch.zeros(6, dtype=torch.long)
    found = Recolour(trials=10, segment=lambda x: {"person": mask}, blur=1)(Red(9), images, labels)
    torch.testing.assert_close(found.images[..., :6], images[..., :6])
    assert bool((found.images[..., 6:] != images[..., 6:]).flatten(1).any(1).all())


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        (lambda x: {"dog": torch.zeros(2, 12, 12)}, "regions of .*got 'dog'"),
        (lambda x: {"sky": torch.zeros(2, 6, 6)}, r"masks \[2, 12, 12\].*got \[2, 6, 6\]"),
        (lambda x: {"sky": torch.full((2, 12, 12), 1.5)}, r"in \[0, 1\]"),
    ],
)
def test_bad_masks_are_named(segment: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recolour(segment=segment)(Red(), photos(2), torch.zeros(2, dtype=torch.long))


def test_grey_images_and_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"\[B, 3, H, W\], got \[2, 1, 12, 12\]"):
        Recolour()(Red(), photos(2)[:, :1], torch.zeros(2, dtype=torch.long))
    with pytest.raises(TypeError, match="segment must be callable, got dict"):
        Recolour(segment={"sky": photos()})
    with pytest.raises(ValueError, match="trials must be at least 1, got 0"):
        Recolour(trials=0)
