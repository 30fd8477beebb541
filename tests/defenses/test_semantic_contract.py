"""Every classifier of embeddings keeps what a defense promises: the same claims, asked of each."""

import pytest
import torch
from test_defense_contract import (  # noqa: F401
    make_images,
    test_an_answer_does_not_depend_on_the_neighbours,
    test_bad_input_is_named,
    test_its_gradient_is_what_it_claims,
    test_keeps_its_hands_off_the_images,
    test_maps_images_to_logits,
    test_moves_with_its_state,
    test_says_whether_it_is_random,
    test_the_surrogate_gives_the_true_logits,
    test_torchs_seed_repeats_its_draws,
)
from tiny_clip import NUISANCES, WORDS, TinyClip

from sparsedef.defenses.semantic import RIVALS, EmbeddingClassifier, Words

PROMPTS = [f"a photo of class {i}" for i in range(5)]
VARIANTS = {
    **{name: {} for name in RIVALS},
    "adversarial_probe": {"steps": 30},
    "ssd, capped": {"n_nonzero": 3, "alpha": 0.05},
    "ssd, capped and debiased": {"n_nonzero": 3, "alpha": 0.05, "debias": True},
    "ssd, not centred": {"center": "none"},
    "ssd, standardised": {"standardise": "each"},
    "pursuit_concepts, three": {"n_nonzero": 3},
    "ridge_concepts, least squares": {"ridge": 0.0},
    "zero_shot, centred": {"center": "both"},
}


def make_training() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = make_images(60, seed=1), torch.arange(60) % 5
    # a colour cast for each class, or there would be nothing to learn
    casts = 0.25 * torch.rand(5, 3, generator=torch.Generator().manual_seed(2))
    return (images + casts[labels][:, :, None, None]).clamp(0, 1), labels


@pytest.fixture(scope="module", params=VARIANTS)
def defense(request: pytest.FixtureRequest) -> EmbeddingClassifier:
    encoder = TinyClip()
    words = Words.embed(encoder, WORDS, NUISANCES, PROMPTS)
    rival = RIVALS[request.param.split(",")[0]]
    images, labels = make_training()
    options = {**rival.options, **VARIANTS[request.param]}
    return rival.kind.fit(encoder, images, labels, words=words, seed=0, **options).eval()


def test_learns_its_training_images(defense: EmbeddingClassifier) -> None:
    if type(defense).__name__ == "ZeroShot":
        pytest.skip("the prompts of a random encoder mean nothing")
    images, labels = make_training()
    assert (defense(images).argmax(dim=1) == labels).double().mean() > 0.5


def test_a_state_dict_carries_all_of_it(
    defense: EmbeddingClassifier, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Into one built of other words, with other settings where they can differ, by a file."""
    path = tmp_path_factory.mktemp("state") / "defense.pt"
    torch.save(defense.state_dict(), path)
    words = Words.embed(TinyClip(), [f"other {i}" for i in range(8)], list("abc"), list("12345"))
    kind = type(defense)
    options = {
        key: value for key, value in _options_of(defense).items() if key in ("atoms", "sees")
    }
    other = kind.of_words(TinyClip(), words, 12, 5, 9, **options)
    with torch.no_grad():
        for parameter in other.classifier.parameters():
            parameter.add_(1)
    other.load_state_dict(torch.load(path, weights_only=True))
    images = make_images(6)
    assert torch.equal(other(images), defense(images))
    assert other.get_extra_state() == defense.get_extra_state()


def _options_of(defense: EmbeddingClassifier) -> dict[str, str]:
    """How many atoms it has and how many are seen, in the words that ``of_words`` takes."""
    atoms = getattr(defense, "dictionary", None)
    if atoms is None or len(atoms) == len(WORDS):
        return {}
    sees = "all" if len(defense.visible) == len(atoms) else "concepts"  # type: ignore[arg-type]
    return {"atoms": "all", "sees": sees}


def test_says_what_it_was_built_of(defense: EmbeddingClassifier) -> None:
    assert defense.encoder is defense.classifier
    assert defense.n_classes == 5
    assert defense.notes
