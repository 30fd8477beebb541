"""The small CLIP: its words, preprocessing and loss; what is said where others are absent."""

import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional

pytest.importorskip("open_clip")
pytest.importorskip("safetensors")

from sparsedef.clip import (
    SmallTokenizer,
    build_small_clip,
    fit_size,
    load_clip,
    load_small_clip,
    read_facts,
    save_small_clip,
    unit,
)
from sparsedef.clip.train import (
    Pairs,
    draw_bytes,
    encode_by_length,
    known_texts,
    multi_positive_loss,
    train_small_clip,
    zero_shot_accuracy,
)
from sparsedef.worlds import draw_split, write_captions

TEXTS = ["a striped star in snow", "a red disc", "an image of a plain heart on a brick wall"]


@pytest.fixture(scope="module")
def tokenizer() -> SmallTokenizer:
    return SmallTokenizer.for_texts(known_texts(), 40)


def test_every_caption_is_of_known_words(tokenizer: SmallTokenizer) -> None:
    scenes = draw_split("train", 2000, seed=3)
    tokens = tokenizer(write_captions(scenes, torch.Generator().manual_seed(0)))
    assert tokens.shape == (2000, 40)
    # open_clip reads a text where its largest id is: that must be the end of the text
    ends = (tokens != 0).sum(1) - 1
    assert torch.equal(tokens.argmax(1), ends)


def test_unknown_words_are_named(tokenizer: SmallTokenizer) -> None:
    with pytest.raises(ValueError, match="with 'zebra'"):
        tokenizer(["a zebra in snow"])


def test_texts_do_not_depend_on_their_neighbours(tokenizer: SmallTokenizer) -> None:
    encoder = build_small_clip(tokenizer).eval()
    with torch.no_grad():
        alone = torch.cat([encoder.text([text]) for text in TEXTS])
        torch.testing.assert_close(encoder.text(TEXTS), alone)
        by_length = encode_by_length(encoder.model, tokenizer(TEXTS), groups=2)
        torch.testing.assert_close(by_length, alone)


def test_images_of_any_size_have_a_gradient_in_their_pixels(tokenizer: SmallTokenizer) -> None:
    encoder = build_small_clip(tokenizer).eval()
    images = torch.rand(2, 3, 60, 80, requires_grad=True)
    encoder.image(images).square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert fit_size(images, 48).shape == (2, 3, 48, 48)
    same = torch.rand(1, 3, 48, 48)
    assert torch.equal(fit_size(same, 48), same)


def test_equal_captions_are_one_target() -> None:
    generator = torch.Generator().manual_seed(0)
    images, texts = (unit(torch.randn(4, 8, generator=generator)) for _ in range(2))
    scale, apart = torch.tensor(5.0), torch.arange(4)
    plain = multi_positive_loss(images, texts, scale, apart)
    logits = 5 * images @ texts.T
    target = torch.arange(4)
    expected = functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
    torch.testing.assert_close(plain, expected / 2)
    texts[1], images[1] = texts[0], images[0]
    caption = torch.tensor([0, 0, 2, 3])
    perfect = multi_positive_loss(images[:2], texts[:2], scale, caption[:2])
    torch.testing.assert_close(perfect, torch.tensor(math.log(2)))


def test_a_file_holds_words_weights_and_facts(tokenizer: SmallTokenizer, tmp_path: Path) -> None:
    encoder = build_small_clip(tokenizer, seed=5).eval()
    path = tmp_path / "clip.safetensors"
    save_small_clip(encoder, path, {"seed": 5})
    again = load_clip("small", str(path))
    assert read_facts(path) == {"seed": 5}
    assert path.stat().st_size < 6 * 2**20
    images = torch.rand(3, 3, 48, 48)
    with torch.no_grad():
        cosines = functional.cosine_similarity(again.image(images), encoder.image(images))
    assert cosines.min() > 0.9999  # half precision of the weights
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_the_shipped_weights_know_the_world() -> None:
    encoder, facts = load_clip(), read_facts()
    assert facts["zero_shot_accuracy_of_2000"]["test"] >= 0.97
    assert facts["command"].startswith("sparsedef train clip")
    scenes = draw_split("test", 200, seed=7)  # of another seed than it was measured on
    images = draw_bytes(scenes).float() / 255
    assert zero_shot_accuracy(encoder, images, scenes.classes) >= 0.97
    assert encoder.text(["a red star in snow"]).shape == (1, 128)


def test_captions_are_fresh_and_repeat_by_seed(tokenizer: SmallTokenizer) -> None:
    scenes = draw_split("train", 64, seed=0)
    source = Pairs(draw_bytes(scenes), scenes, tokenizer, "full", 0)
    rows = torch.arange(32)
    first, again = source.batch(rows)[1], source.batch(rows)[1]
    assert torch.equal(first, again)
    assert not torch.equal(first, source.batch(rows.flip(0))[1].flip(0)), "other order, other words"
    assert source.batch(rows)[0].max() <= 1


def test_training_lowers_the_loss_and_resumes(tmp_path: Path) -> None:
    options = {"n_scenes": 64, "batch_size": 32, "lr": 1e-3, "is_silent": True}
    whole = train_small_clip(epochs=3, checkpoint=tmp_path / "a.pt", **options)
    again = train_small_clip(epochs=3, checkpoint=tmp_path / "a.pt", **options)
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_is_missing_is_named_with_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file .*gone.safetensors"):
        load_small_clip(tmp_path / "gone.safetensors")
    with pytest.raises(ValueError, match="name must be 'small' or a model of open_clip"):
        load_clip("ViT-B-17")
    with pytest.raises(ValueError, match="pretrained must be a file or one of"):
        load_clip("ViT-B-16")
    with pytest.raises(ValueError, match="got 'nobody'"):
        load_clip("ViT-B-16", "nobody")
    with pytest.raises(FileNotFoundError, match=r"nothing is downloaded; looked for .*ViT-B-16.pt"):
        load_clip("ViT-B-16", "openai")
