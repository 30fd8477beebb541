"""Leaving a stage out changes that stage and no other; sizes fit every image."""

import pytest
import torch
from torch import Tensor, nn

from sparsedef import patch_omp
from sparsedef.defenses import ABLATIONS, STAGES, Bilateral, RegionSparse, RegionSparseSizes
from sparsedef.defenses.patch_dictionary import (
    dct_dictionary,
    learn_patch_dictionary,
    spread,
    training_patches,
)

SIZES = RegionSparseSizes.for_size(24)


def make_images(count: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    images = 0.3 + 0.1 * torch.rand(count, 3, 24, 24, generator=generator)
    images[:, :, 6:18, 7:19] += 0.5 * ((torch.arange(12) // 2) % 2)
    return images


def fit(**options: object) -> RegionSparse:
    images = make_images()
    return RegionSparse.fit(nn.Flatten(), images, torch.zeros(12).long(), **options)  # type: ignore


@pytest.fixture(scope="module")
def fitted() -> dict[str, RegionSparse]:
    return {name: fit(without=without) for name, without in ABLATIONS.items()}


def test_the_paper_leaves_out_each_stage_once() -> None:
    assert list(ABLATIONS) == ["full", "noTR", "noIS", "noPN", "noBS"]
    assert {stage for stages in ABLATIONS.values() for stage in stages} == set(STAGES)


def test_without_training_a_cosine_transform_takes_its_place(
    fitted: dict[str, RegionSparse],
) -> None:
    full, untrained = fitted["full"], fitted["noTR"]
    assert untrained.dictionary.shape == full.dictionary.shape
    torch.testing.assert_close(untrained.dictionary, dct_dictionary(128, 4, 3))
    assert untrained.standardize == "zscore"
    assert untrained.smooths_background


def test_without_smoothing_patches_are_of_the_images_themselves(
    fitted: dict[str, RegionSparse],
) -> None:
    recipe = SIZES.recipe(("IS",))
    assert recipe.smoothing is None
    signals = training_patches(make_images(), recipe)
    atoms = learn_patch_dictionary(signals, 128, epochs=SIZES.n_epochs)
    torch.testing.assert_close(fitted["noIS"].dictionary, atoms)
    assert (fitted["full"].dictionary - atoms).abs().max() > 0.1


def test_without_normalisation_patches_are_learnt_and_coded_as_they_are(
    fitted: dict[str, RegionSparse],
) -> None:
    defense, images = fitted["noPN"], make_images(2)
    signals = training_patches(make_images(), SIZES.recipe(("PN",)))
    assert signals.min() >= 0, "the mean is still there"
    assert spread(signals) < 0.5
    atoms = learn_patch_dictionary(signals, 128, alpha=spread(signals), epochs=SIZES.n_epochs)
    torch.testing.assert_close(defense.dictionary, atoms)
    coded = patch_omp(images, defense.dictionary, 2, stride=2, standardize="none").images
    assert torch.equal(defense.rebuild(images), coded)


def test_without_suppression_the_background_stays(fitted: dict[str, RegionSparse]) -> None:
    full, defense, images = fitted["full"], fitted["noBS"], make_images(2)
    assert torch.equal(defense.dictionary, full.dictionary)
    inside = full.regions(images).expand_as(images)
    assert torch.equal(defense.purify(images)[~inside], images[~inside])
    assert torch.equal(defense.purify(images)[inside], full.purify(images)[inside])
    assert not torch.equal(full.purify(images)[~inside], images[~inside])


def test_several_stages_can_be_left_out_by_name() -> None:
    defense = fit(without=["TR", "BS"])
    torch.testing.assert_close(defense.dictionary, dct_dictionary(128, 4, 3))
    assert not defense.smooths_background
    assert torch.equal(fit(without="TR").dictionary, defense.dictionary)
    with pytest.raises(ValueError, match=r"stages of \['TR', 'IS', 'PN', 'BS'\], got \['noTR'\]"):
        fit(without="noTR")
    with pytest.raises(ValueError, match="dictionary must be None without 'TR'"):
        fit(without="TR", dictionary=torch.eye(48))


def test_channel_patches_are_fitted_too() -> None:
    defense = fit(patches="channel", region="contour")
    assert defense.dictionary.shape == (64, 16)
    assert (defense.n_nonzero, defense.region) == (1, "contour")
    images = make_images(2)
    assert defense.purify(images).shape == images.shape


def test_a_given_dictionary_decides_patches_and_atoms() -> None:
    defense = fit(dictionary=3 * torch.eye(192))
    assert (defense.patch_size, defense.patches, defense.n_nonzero) == (8, "colour", 8)
    assert torch.equal(defense.dictionary, torch.eye(192))


@pytest.mark.parametrize(
    ("side", "patches", "wanted"),
    [
        (299, "colour", (8, 512, 8, 1000, 100, 5)),
        (299, "channel", (8, 256, 4, 1000, 100, 5)),
        (224, "colour", (8, 512, 8, 1000, 100, 5)),
        (96, "colour", (6, 288, 4, 500, 60, 5)),
        (48, "colour", (4, 128, 2, 200, 40, 3)),
        (32, "colour", (4, 128, 2, 200, 40, 3)),
        (32, "channel", (4, 64, 1, 200, 40, 3)),
    ],
)
def test_sizes_scale_with_the_image(side: int, patches: str, wanted: tuple[int, ...]) -> None:
    s = RegionSparseSizes.for_size(side, patches)
    found = (s.patch_size, s.n_atoms, s.n_nonzero, s.n_images, s.per_image, s.bilateral_size)
    assert found == wanted
    assert s.smoothing.search // 2 < side
    if side == 299:
        assert s.smoothing == (21, 7, 10 / 255)


@pytest.mark.parametrize("side", [32, 299])
def test_the_control_filters_as_the_background_is_filtered(side: int) -> None:
    images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    size = 4 if side == 32 else 8
    atoms = torch.eye(3 * size**2)
    labels = torch.zeros(1).long()
    defense = RegionSparse.fit(nn.Flatten(), images, labels, dictionary=atoms)
    control = Bilateral.fit(nn.Flatten(), images, labels)
    assert torch.equal(control.purify(images), defense.smooth(images))


def test_other_sizes_can_be_asked_for() -> None:
    sizes = RegionSparseSizes(
        patch_size=5, n_atoms=20, n_nonzero=3, n_images=4, per_image=8,
        smoothing=RegionSparseSizes.for_size(32).smoothing,
    )  # fmt: skip
    defense = fit(sizes=sizes)
    assert defense.dictionary.shape == (20, 75)
    assert defense.n_nonzero == 3
