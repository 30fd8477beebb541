"""Another CLIP of open_clip, from a file of weights: the same embeddings, and SSD on top of it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

open_clip = pytest.importorskip("open_clip")
image_of = pytest.importorskip("PIL.Image")

from sparsedef.attacks import PGD  # noqa: E402
from sparsedef.clip import ClipEncoder, load_clip  # noqa: E402
from sparsedef.concepts import concept_dictionary  # noqa: E402
from sparsedef.defenses.semantic import SSD, Words, embed_images  # noqa: E402
from sparsedef.worlds import draw_split  # noqa: E402

NAME, SIZE = "vit-tiny-of-a-test", 48
CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {
        "image_size": SIZE, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16,
    },
    "text_cfg": {
        "context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1,
    },
}  # fmt: skip
TEXTS = ["a photo of a dog", "sharp tips", "snow", "stripes of two colours", "a ring"]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A small vision transformer of open_clip with random weights, and the file of them."""
    folder = tmp_path_factory.mktemp("clip")
    (folder / f"{NAME}.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder / f"{NAME}.json")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.create_model(NAME, pretrained=None).eval()
    path = folder / "weights.pt"
    torch.save(model.state_dict(), path)
    return model, path


@pytest.fixture(scope="module")
def ours(theirs: tuple[Any, Path]) -> ClipEncoder:
    return load_clip(NAME, str(theirs[1]))


@torch.no_grad()
@pytest.mark.parametrize(("height", "width", "close"), [(48, 48, 1e-5), (72, 60, 2e-2)], ids=str)
def test_images_are_embedded_as_open_clip_does(
    theirs: tuple[Any, Path], ours: ClipEncoder, height: int, width: int, close: float
) -> None:
    """Other sizes are loose: PIL rounds resized pixels to whole numbers, a tensor's are not."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (height // 12, width // 12, 3), generator=generator)
    pixels = pixels.repeat_interleave(12, 0).repeat_interleave(12, 1).to(torch.uint8)
    transform = open_clip.image_transform(SIZE, is_train=False)
    expected = theirs[0].encode_image(transform(image_of.fromarray(pixels.numpy()))[None])
    found = ours.image(pixels.movedim(-1, 0)[None] / 255)
    torch.testing.assert_close(found, expected, atol=close * float(expected.norm()), rtol=0)


@torch.no_grad()
def test_texts_are_embedded_as_open_clip_does(theirs: tuple[Any, Path], ours: ClipEncoder) -> None:
    expected = theirs[0].encode_text(open_clip.get_tokenizer(NAME)(TEXTS))
    torch.testing.assert_close(ours.text(TEXTS), expected)


def test_ssd_stands_on_it_and_is_attacked_through_it(ours: ClipEncoder) -> None:
    train, test = draw_split("train", 240), draw_split("test", 24)
    atoms = concept_dictionary(TEXTS * 4, ours.text, template="{}").distinct(0.99)
    ssd = SSD.from_embeddings(
        ours, embed_images(ours, train.render()), train.classes, Words(atoms.atoms, atoms.texts),
        n_classes=24, target_support=3,
    ).eval()  # fmt: skip
    images = test.render()
    outcome = PGD(8 / 255, steps=10, seed=0)(ssd, images, test.classes)
    before = torch.nn.functional.cross_entropy(ssd(images), test.classes)
    after = torch.nn.functional.cross_entropy(ssd(outcome.images), test.classes)
    assert after > before + 0.1, "gradients reach the pixels through code and CLIP"
    assert torch.equal(ssd(images), ssd(images))
