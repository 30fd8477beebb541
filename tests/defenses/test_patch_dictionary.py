"""Training patches are drawn by image and seed; the dictionary is as good as scikit-learn's."""

import warnings

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsedef import extract_patches, lasso, patch_omp
from sparsedef.data import load_photographs
from sparsedef.defenses import NLMSettings, patch_dictionary
from sparsedef.defenses.filters import non_local_means
from sparsedef.defenses.patch_dictionary import (
    BATCH,
    PatchRecipe,
    dct_dictionary,
    learn_patch_dictionary,
    spread,
    training_patches,
)

SMALL = NLMSettings(search=5, template=3, strength=0.05)


def make_images(count: int = 6, side: int = 20) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    images = 0.3 + 0.1 * torch.rand(count, 3, side, side, generator=generator, dtype=torch.float64)
    images[:, :, 6:16, 7:17] += 0.5 * ((torch.arange(10) // 2) % 2)
    return images


def objective(x: Tensor, atoms: Tensor) -> float:
    code = lasso(x, atoms, 1.0)
    return float((code.residual.square().sum(1) / 2 + code.codes.abs().sum(1)).mean())


def test_patches_are_z_scored_over_all_of_their_image() -> None:
    images = make_images()
    every = PatchRecipe(size=4, per_image=10**6, smoothing=SMALL)
    rows = training_patches(images, every).view(6, 17 * 17, 48)
    torch.testing.assert_close(rows.mean(1), torch.zeros(6, 48).double(), rtol=0, atol=1e-12)
    smooth = extract_patches(non_local_means(images, **SMALL._asdict()), 4)
    scale = smooth.std(1, correction=0).clamp_min(0.01)  # its floor
    torch.testing.assert_close(rows.std(1, correction=0), smooth.std(1, correction=0) / scale)


def test_channel_patches_are_of_one_channel() -> None:
    images = make_images(2)
    recipe = PatchRecipe(size=4, patches="channel", per_image=10**6, smoothing=None)
    rows = training_patches(images, recipe).sort(0).values
    alone = [
        training_patches(images[:, [c]].expand(-1, 3, -1, -1), recipe)[: 2 * 3 * 289]
        for c in range(3)
    ]
    thrice = torch.cat(alone).sort(0).values
    torch.testing.assert_close(rows.repeat_interleave(3, 0), thrice)


def test_draws_depend_on_seed_and_number_not_on_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    images, recipe = make_images(), PatchRecipe(size=4, per_image=10, smoothing=SMALL)
    whole = training_patches(images, recipe)
    assert whole.shape == (60, 48)
    parts = [training_patches(images[i : i + 4], recipe, first=i) for i in (0, 4)]
    assert torch.equal(torch.cat(parts), whole)
    monkeypatch.setattr(patch_dictionary, "AT_ONCE", 1)
    torch.testing.assert_close(training_patches(images, recipe), whole)
    other = PatchRecipe(size=4, per_image=10, smoothing=SMALL, seed=1)
    assert not torch.equal(training_patches(images, other), whole)
    assert training_patches(images[:0], recipe).shape == (0, 48)


def test_the_callers_random_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    rows = training_patches(make_images(), PatchRecipe(size=4, per_image=9, smoothing=None))
    learn_patch_dictionary(rows, 12)
    assert torch.equal(torch.get_rng_state(), state)


def test_learnt_atoms_are_unit_and_code_better_than_untrained_ones() -> None:
    images = make_images(12)
    signals = training_patches(images[:6], PatchRecipe(size=4, per_image=60, smoothing=SMALL))
    atoms = learn_patch_dictionary(signals, 32)
    torch.testing.assert_close(atoms.norm(dim=1), torch.ones(32).double())
    learnt, untrained = (
        (patch_omp(images[6:], d, 2, standardize="zscore").images - images[6:]).norm()
        for d in (atoms, dct_dictionary(32, 4, 3).double())
    )
    assert learnt < 0.8 * untrained


def test_held_out_objective_is_no_worse_than_scikit_learns_at_equal_passes() -> None:
    """The mean over three seeds, which differ by a percent or so."""
    decomposition = pytest.importorskip("sklearn.decomposition")
    data, recipe = load_photographs(), PatchRecipe(size=4, per_image=40, smoothing=SMALL)
    train = training_patches(data.train.images[:12], recipe)
    held_out = training_patches(data.test.images[:40], recipe).double()
    ours, theirs = 0.0, 0.0
    for seed in range(3):
        learner = decomposition.MiniBatchDictionaryLearning(
            24, alpha=1.0, batch_size=BATCH, max_iter=2, tol=0, max_no_improvement=None,
            random_state=seed,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms = torch.from_numpy(learner.fit(train.double().numpy()).components_)
        theirs += objective(held_out, normalize(atoms, dim=1)) / 3
        atoms = learn_patch_dictionary(train, 24, epochs=2, seed=seed).double()
        ours += objective(held_out, atoms) / 3
    assert ours <= theirs
    assert theirs < objective(held_out, dct_dictionary(24, 4, 3).double())


@pytest.mark.parametrize(("n_atoms", "size", "n_channels"), [(128, 4, 3), (512, 8, 3), (256, 8, 1)])
def test_cosine_atoms_are_unit_and_span_all_patches(
    n_atoms: int, size: int, n_channels: int
) -> None:
    atoms = dct_dictionary(n_atoms, size, n_channels)
    assert atoms.shape == (n_atoms, n_channels * size**2)
    torch.testing.assert_close(atoms.norm(dim=1), torch.ones(n_atoms))
    assert torch.linalg.matrix_rank(atoms) == n_channels * size**2
    assert len({tuple(row) for row in (1e4 * atoms).round().tolist()}) == n_atoms


def test_as_many_cosines_as_pixels_are_orthonormal() -> None:
    atoms = dct_dictionary(75, 5, 3)
    torch.testing.assert_close(atoms @ atoms.T, torch.eye(75), rtol=0, atol=1e-6)
    grey = atoms.view(75, 3, 25)[0]
    torch.testing.assert_close(grey, torch.full((3, 25), 75**-0.5))


def test_spread_is_one_for_standard_patches() -> None:
    rows = training_patches(make_images(), PatchRecipe(size=4, per_image=10**6, smoothing=None))
    assert spread(rows) == pytest.approx(1, abs=1e-6)
    assert spread(5 * rows + 3) == pytest.approx(5, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patches": "grey"}, "patches must be one of"),
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"per_image": 0}, "per_image must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_bad_recipes_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"PatchRecipe: {message}"):
        PatchRecipe(**options)  # type: ignore[arg-type]
