"""RegionSparse is its parts put together, and its gradient holds nothing back."""

import pytest
import torch
from torch import Tensor, nn

from sparsedef import patch_omp
from sparsedef.defenses import RegionSparse
from sparsedef.defenses.filters import Localiser, bilateral_filter, box_mask
from sparsedef.defenses.patch_dictionary import learn_patch_dictionary, training_patches


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
    with torch.no_grad():
        numeric = torch.zeros_like(images).flatten()
        for i in range(images.numel()):
            step = torch.zeros_like(images).flatten()
            step[i] = 1e-6
            step = step.view_as(images)
            up, down = defense.purify(images + step), defense.purify(images - step)
            numeric[i] = ((up - down) * weight).sum() / 2e-6
    torch.testing.assert_close(numeric.view_as(grad), grad, rtol=1e-4, atol=1e-6)
    assert (grad - weight).abs().max() > 0.1


def test_a_batch_without_objects_has_finite_gradients() -> None:
    images = torch.cat([torch.zeros(1, 3, 24, 24), torch.ones(1, 3, 24, 24)]).double()
    images.requires_grad_()
    defense = make()
    (grad,) = torch.autograd.grad(defense.purify(images).sum(), images)
    assert grad.isfinite().all()


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"\[N, 3 \* size \* size\].*got \[10, 50\]"):
        RegionSparse(nn.Flatten(), torch.randn(10, 50))
    with pytest.raises(ValueError, match="n_nonzero must be at least 1, got 0"):
        make(n_nonzero=0)


def test_training_patches_are_standard_and_seeded() -> None:
    options = {"per_image": 10, "nlm_strength": 0.05, "nlm_template": 3, "nlm_search": 5}
    images = make_images(6)
    patches = training_patches(images, 4, seed=0, **options)  # type: ignore[arg-type]
    assert patches.shape == (60, 48)
    assert torch.equal(patches, training_patches(images, 4, seed=0, **options))  # type: ignore
    assert not torch.equal(patches, training_patches(images, 4, seed=1, **options))  # type: ignore
    assert patches.abs().max() < 25


def test_learnt_atoms_are_unit_and_code_better_than_random_ones() -> None:
    pytest.importorskip("sklearn")
    options = {"per_image": 60, "nlm_strength": 0.05, "nlm_template": 3, "nlm_search": 5}
    images = make_images(12)
    signals = training_patches(images[:6], 4, seed=0, **options)  # type: ignore[arg-type]
    atoms = learn_patch_dictionary(signals, 32, seed=0)
    norms = atoms.norm(dim=1)
    torch.testing.assert_close(norms[norms > 0], torch.ones_like(norms[norms > 0]))
    others = images[6:]
    learnt, random = (
        (patch_omp(others, d, 2, standardize="zscore").images - others).norm()
        for d in (atoms, make_dictionary(32))
    )
    assert learnt < 0.8 * random
