"""RegionSparse is its parts put together, and its gradient holds nothing back."""

import pytest
import torch
from torch import Tensor, nn

from sparsedef import patch_omp
from sparsedef.defenses import RegionSparse
from sparsedef.defenses.filters import Localiser, bilateral_filter, box_mask


def make_images(count: int = 4, side: int = 24) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    images = 0.3 + 0.1 * torch.rand(count, 3, side, side, generator=generator, dtype=torch.float64)
    images[:, :, 6:18, 7:19] += 0.5 * ((torch.arange(12) // 2) % 2)
    return images


def make_dictionary(n_atoms: int, size: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    atoms = torch.randn(n_atoms, 3 * size * size, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(atoms, dim=1)


def make(n_atoms: int = 60, **options: object) -> RegionSparse:
    options = {"localiser": Localiser.for_size(24), "n_nonzero": 3, **options}
    return RegionSparse(nn.Flatten(), make_dictionary(n_atoms), **options)  # type: ignore


def test_inside_is_coded_outside_is_filtered() -> None:
    images, defense = make_images(), make()
    inside = box_mask(defense.boxes(images), 24, 24)
    assert 0.1 < inside.double().mean() < 0.9
    coded = patch_omp(images, defense.dictionary, 3, stride=2, standardize="zscore").images
    wanted = torch.where(inside, coded, bilateral_filter(images)).clamp(0, 1)
    torch.testing.assert_close(defense.purify(images), wanted, rtol=0, atol=1e-12)


def test_enough_atoms_give_the_object_back() -> None:
    images, defense = make_images(), make(n_atoms=80, n_nonzero=48)
    inside = box_mask(defense.boxes(images), 24, 24).expand_as(images)
    torch.testing.assert_close(defense.purify(images)[inside], images[inside], rtol=0, atol=1e-8)


@pytest.mark.parametrize("stride", [1, 3, 4])
def test_every_pixel_is_covered_whatever_the_stride(stride: int) -> None:
    images = make_images(2)[..., :23, :22]
    pure = make(n_atoms=80, n_nonzero=48, stride=stride, bilateral_size=1).purify(images)
    torch.testing.assert_close(pure, images, rtol=0, atol=1e-8)


def test_the_gradient_is_the_projection_not_the_identity() -> None:
    """Central differences of every pixel of one image, supports and box held by a small step."""
    images = make_images(1, side=20)[..., :12, :14].requires_grad_()
    defense = make(localiser=Localiser(blur=3, closing=3, opening=0))
    weight = torch.randn(1, 3, 12, 14, generator=torch.Generator().manual_seed(2)).double()
    (grad,) = torch.autograd.grad((defense.purify(images) * weight).sum(), images)
    steps = 1e-6 * torch.eye(images.numel()).double().view(-1, 3, 12, 14)
    with torch.no_grad():
        up, down = defense.purify(images + steps), defense.purify(images - steps)
    numeric = ((up - down) * weight).flatten(1).sum(1) / 2e-6
    torch.testing.assert_close(numeric.view_as(grad), grad, rtol=1e-4, atol=1e-6)
    assert (grad - weight).abs().max() > 0.1


def test_a_batch_without_objects_has_finite_gradients() -> None:
    images = torch.cat([torch.zeros(1, 3, 24, 24), torch.ones(1, 3, 24, 24)]).double()
    images.requires_grad_()
    defense = make()
    (grad,) = torch.autograd.grad(defense.purify(images).sum(), images)
    assert grad.isfinite().all()


@pytest.mark.parametrize("standardize", ["none", "mean", "zscore"])
def test_channels_are_coded_each_on_its_own(standardize: str) -> None:
    images = make_images(2)
    atoms = torch.nn.functional.normalize(make_dictionary(30)[:, :16], dim=1)
    defense = RegionSparse(nn.Flatten(), 7 * atoms, n_nonzero=2, standardize=standardize)
    assert (defense.patch_size, defense.patches) == (4, "channel")
    for channel in range(3):
        plane = images[:, [channel]]
        alone = patch_omp(plane, atoms, 2, stride=2, standardize=standardize).images
        torch.testing.assert_close(defense.rebuild(images)[:, [channel]], alone)


def test_a_contour_lies_between_the_blob_and_its_box() -> None:
    images = make_images()
    disc = (torch.arange(24)[:, None] - 12) ** 2 + (torch.arange(24) - 12) ** 2 < 64
    images[:, :, 5:20, 5:20] = 0.3
    images += 0.6 * disc * ((torch.arange(24) // 2) % 2)
    images = images.clamp(0, 1)
    box, contour = make(region="box"), make(region="contour")
    inside, outline = box.regions(images), contour.regions(images)
    assert outline.sum() < 0.95 * inside.sum()
    assert (outline & disc).sum() > 0.95 * 4 * disc.sum()
    wanted = torch.where(outline, contour.rebuild(images), contour.smooth(images)).clamp(0, 1)
    assert torch.equal(contour.purify(images), wanted)


@pytest.mark.parametrize("region", ["box", "contour"])
def test_an_image_without_object_gets_the_centre(region: str) -> None:
    defense = make(region=region)
    found = defense.regions(torch.full((1, 3, 24, 24), 0.4).double())
    assert torch.equal(found, box_mask(torch.tensor([[3, 3, 21, 21]]), 24, 24))


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"\[N, 3 \* size \* size\].*got \[10, 50\]"):
        RegionSparse(nn.Flatten(), torch.randn(10, 50))
    with pytest.raises(ValueError, match="n_nonzero must be at least 1, got 0"):
        make(n_nonzero=0)
    with pytest.raises(ValueError, match=r"region must be one of.*got 'outline'"):
        make(region="outline")
    with pytest.raises(ValueError, match=r"standardize must be one of.*got 'std'"):
        make(standardize="std")
