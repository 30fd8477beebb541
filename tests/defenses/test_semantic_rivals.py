"""In a world made of known parts, each rival stands or falls as its design says it must."""

import pytest
import torch
from tiny_clip import NUISANCES, WORDS, Planted, TinyClip, plant
from torch import nn
from torch.nn import functional

from sparsedef.defenses.semantic import (
    RIVALS,
    DenseConcepts,
    EmbeddingClassifier,
    LinearProbe,
    NuisanceRemoved,
    RidgeConcepts,
    Words,
    ZeroShot,
    embed_images,
)


def accuracy(made: EmbeddingClassifier, world: Planted) -> float:
    with torch.no_grad():
        answers = made.classify(world.embeddings).argmax(dim=1)
    return float((answers == world.labels).double().mean())


@pytest.fixture(scope="module")
def worlds() -> tuple[Planted, Planted, Planted]:
    """Training images with the nuisance at random, with its favourite class, and test images."""
    train, confounded = (plant(480, noise=0.1, storm=4, rho=rho) for rho in (0, 0.98))
    return train, confounded, plant(480, noise=0.1, storm=4, seed=1)


TRAINED = [name for name in RIVALS if name != "zero_shot"]
QUICK = {"adversarial_probe": {"steps": 60}}


def fit(name: str, world: Planted) -> EmbeddingClassifier:
    return RIVALS[name].fit(
        nn.Identity(), world.embeddings, world.labels, world.words, **QUICK.get(name, {})
    )


@pytest.mark.parametrize("name", TRAINED)
def test_all_learn_when_the_nuisance_tells_nothing(
    name: str, worlds: tuple[Planted, Planted, Planted]
) -> None:
    clean, _, test = worlds
    assert accuracy(fit(name, clean), test) > 0.95


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("linear_probe", False),  # sees the nuisance
        ("adversarial_probe", False),
        ("ssd_random", False),
        ("ssd_all_seen", False),
        ("ssd_concepts_seen", True),
        ("nuisance_removed", True),
        ("dense_concepts", True),
        ("ridge_concepts", True),
        ("ssd", True),
        ("ssd_debiased", True),
        ("ssd_nonnegative", True),
        ("pursuit_concepts", True),
    ],
)
def test_only_a_head_that_does_not_see_the_nuisance_survives_it(
    name: str, holds: bool, worlds: tuple[Planted, Planted, Planted]
) -> None:
    """The nuisance lies at right angles to the concepts: any code of these is blind to it."""
    _, confounded, test = worlds
    made = fit(name, confounded)
    assert accuracy(made, confounded) > 0.95
    assert accuracy(made, test) > 0.97 if holds else accuracy(made, test) < 0.55


def test_zero_shot_is_scaled_cosines_and_needs_no_example() -> None:
    encoder = TinyClip()
    prompts = encoder.text(["one", "two", "three"]).detach()
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    made = ZeroShot.fit(encoder, images, torch.arange(6) % 3, words=Words(prompts=prompts))
    cosines = functional.cosine_similarity(encoder(images)[:, None], prompts[None], dim=2)
    torch.testing.assert_close(made(images), 20 * cosines, rtol=1e-4, atol=1e-4)
    again = ZeroShot(encoder, prompts)
    assert torch.equal(again(images), made(images))


def test_dense_and_ridge_features_are_what_they_say() -> None:
    world = plant(60)
    dense, ridge = (
        kind.from_embeddings(
            nn.Identity(), world.embeddings, world.labels, world.words, l2=0.01, **options
        )
        for kind, options in ((DenseConcepts, {}), (RidgeConcepts, {"ridge": 0.3}))
    )
    x, atoms = dense.centre(world.embeddings), dense.dictionary
    torch.testing.assert_close(dense.features(x), x @ atoms.T)
    eye = torch.eye(len(atoms), dtype=torch.float64)
    wanted = torch.linalg.solve(atoms @ atoms.T + 0.3 * eye, atoms @ x.T).T
    torch.testing.assert_close(ridge.features(x), wanted)


def test_ridge_without_penalty_is_least_squares_even_for_dependent_atoms() -> None:
    atoms = functional.normalize(
        torch.randn(30, 12, generator=torch.Generator().manual_seed(0)), dim=1
    ).double()
    atoms = torch.cat([atoms[:5], atoms[:1]])
    made = RidgeConcepts(nn.Identity(), atoms, 2, ridge=0.0, center="none")
    x = torch.randn(7, 12, generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(made.encode(x), x @ torch.linalg.pinv(atoms))
    assert made.encode(x).abs().max() < 10


def test_nuisance_directions_are_gone_and_others_stay() -> None:
    world = plant(60)
    assert world.words.nuisances is not None
    made = NuisanceRemoved(nn.Identity(), world.words.nuisances, 6, center="none")
    assert made.n_removed == 6
    assert made.features(world.words.nuisances).abs().max() < 1e-12
    assert world.words.concepts is not None
    torch.testing.assert_close(made.features(world.words.concepts), world.words.concepts)
    few = NuisanceRemoved(nn.Identity(), world.words.nuisances, 6, center="none", energy=0.5)
    assert few.n_removed == 3
    with pytest.raises(ValueError, match=r"span less than the 3 dimensions.*smaller energy"):
        NuisanceRemoved(nn.Identity(), torch.eye(3), 2, center="none", energy=1.0)


def test_the_random_dictionary_is_drawn_by_seed_and_has_as_many_atoms() -> None:
    world = plant(60)
    one, again, other = (
        RIVALS["ssd_random"].kind.of_words(
            nn.Identity(), world.words, 64, 6, seed, atoms="random", center="none"
        )
        for seed in (0, 0, 1)
    )
    assert torch.equal(one.dictionary, again.dictionary)
    assert one.dictionary.shape == other.dictionary.shape == (18, 64)
    assert not torch.equal(one.dictionary, other.dictionary)


def test_images_are_embedded_in_evaluation_mode_and_the_encoder_left_as_it_was() -> None:
    encoder = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten()).train()
    encoder[0].eval()
    images = torch.rand(10, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = embed_images(encoder, images, batch_size=3)
    assert [part.training for part in encoder] == [False, True, True]
    assert encoder[0].num_batches_tracked == 0
    torch.testing.assert_close(found, functional.normalize(encoder.eval()(images), dim=1))
    assert not found.requires_grad


def test_fitting_images_is_fitting_their_embeddings() -> None:
    encoder = TinyClip()
    words = Words.embed(encoder, WORDS, NUISANCES)
    images = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(40) % 4
    embeddings = embed_images(encoder, images)
    for name in TRAINED:
        rival, quick = RIVALS[name], QUICK.get(name, {})
        options = {**rival.options, **quick}
        one = rival.kind.fit(encoder, images, labels, words=words, l2=0.01, **options)
        other = rival.fit(encoder, embeddings, labels, words, l2=0.01, **quick)
        assert torch.equal(one(images), other(images)), name


def test_concepts_can_be_texts_or_vectors() -> None:
    encoder = TinyClip()
    images = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(40) % 4
    dictionary = encoder.text([f"a photo of {word}" for word in WORDS]).detach()
    one = DenseConcepts.fit(encoder, images, labels, concepts=WORDS)
    other = DenseConcepts.fit(encoder, images, labels, concepts=WORDS, dictionary=dictionary)
    assert torch.equal(one(images), other(images))
    assert one.names == other.names == WORDS
    assert DenseConcepts.fit(encoder, images, labels, dictionary=dictionary).names[2] == "atom 2"


def test_a_probe_takes_more_classes_than_the_labels_show() -> None:
    world = plant(60)
    made = LinearProbe.from_embeddings(
        nn.Identity(), world.embeddings, world.labels, n_classes=9, l2=0.01
    )
    logits = made.classify(world.embeddings)
    assert logits.shape == (60, 9)
    assert (logits.argmax(dim=1) == world.labels).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", TRAINED)
def test_a_gpu_gives_the_answers_of_the_cpu(name: str) -> None:
    world = plant(120)
    here = fit(name, world)
    words = Words(
        world.words.concepts.cuda(), world.words.names,  # type: ignore[union-attr]
        world.words.nuisances.cuda(), world.words.nuisance_names,  # type: ignore[union-attr]
    )  # fmt: skip
    there = fit(name, Planted(world.embeddings.cuda(), world.labels.cuda(), world.weather, words))
    answers = there.classify(world.embeddings.cuda()).cpu()
    torch.testing.assert_close(
        answers, here.classify(world.embeddings), rtol=1e-2, atol=1e-2
    )  # heads stop within their tolerance, each on its own path
