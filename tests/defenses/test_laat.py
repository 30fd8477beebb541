"""LAAT's head, anchors and prototypes say what their formulas say."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef import lasso
from sparsedef.defenses import Defense
from sparsedef.defenses.laat import (
    LAAT,
    AnchorExpansion,
    AnchorInputs,
    ClassTexts,
    blend,
    class_means,
    cosines,
    embed_classes,
    load_class_texts,
    make_anchors,
    mean_cosine,
    shapeworld_texts,
)
from sparsedef.worlds import CLASSES, relevant_phrases


class LetterCounts:
    """A text encoder that counts letters."""

    name = "letters"

    def text(self, texts: list[str]) -> Tensor:
        rows = [[1.0 + text.count(chr(97 + i)) for i in range(26)] for text in texts]
        return torch.tensor(rows)


@pytest.fixture
def head() -> LAAT:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(48, 6))
        return LAAT(encoder, torch.randn(4, 6))


def images(count: int = 5) -> Tensor:
    return torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(1))


def test_logits_are_cosines_with_the_anchors(head: LAAT) -> None:
    features = head.encoder(images())
    expected = functional.cosine_similarity(features[:, None], head.anchors[None], dim=2)
    torch.testing.assert_close(head(images()), expected)
    assert isinstance(head, Defense)


def test_exchanged_anchors_share_the_network_and_leave_the_first_as_it_was(head: LAAT) -> None:
    before = head(images())
    other = head.with_anchors(7 * torch.eye(6)[:2])
    assert other(images()).shape == (5, 2)
    assert other.encoder is head.encoder
    torch.testing.assert_close(other.anchors.norm(dim=1), torch.ones(2))
    assert torch.equal(head(images()), before)


def test_a_temperature_scales_logits_and_changes_no_answer(head: LAAT) -> None:
    sharp = head.with_temperature(0.01)
    torch.testing.assert_close(sharp(images()), 100 * head(images()))
    assert torch.equal(sharp(images()).argmax(1), head(images()).argmax(1))


def test_exchanging_anchors_leaves_the_mode_of_the_network(head: LAAT) -> None:
    head.train()
    other = head.with_anchors(torch.eye(6)[:2])
    assert other.training
    assert all(part.training for part in head.modules())
    head.eval()
    head.with_anchors(torch.eye(6)[:2])
    assert not any(part.training for part in head.modules())


def test_the_gradient_of_the_head_is_exact(head: LAAT) -> None:
    exact = head.double()
    x = images(2).double().requires_grad_()
    assert torch.autograd.gradcheck(exact.logits, x)


@pytest.mark.parametrize(
    ("anchors", "options", "message"),
    [
        (torch.zeros(2, 6), {}, "not zero"),
        (torch.ones(6), {}, r"\[C, M\]"),
        (torch.ones(2, 6), {"temperature": 0.0}, "above 0"),
        (torch.full((2, 6), torch.nan), {}, "finite"),
    ],
    ids=["zero", "flat", "temperature", "nan"],
)
def test_anchors_that_are_none_are_refused(
    anchors: Tensor, options: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        LAAT(nn.Flatten(), anchors, **options)
    with pytest.raises(TypeError, match="float"):
        LAAT(nn.Flatten(), torch.ones(2, 6, dtype=torch.int64))


def test_an_encoder_of_another_width_than_the_anchors_is_named() -> None:
    with pytest.raises(ValueError, match=r"\[B, 6\]"):
        LAAT(nn.Flatten(), torch.ones(2, 6))(images())


def given() -> AnchorInputs:
    classes, concepts = shapeworld_texts()
    return AnchorInputs(classes, CLASSES[:14], concepts)


def test_the_stored_texts_are_those_of_shapeworld() -> None:
    classes, concepts = shapeworld_texts()
    assert classes.names == CLASSES
    assert concepts.names == relevant_phrases()
    assert classes.features.shape[1] == concepts.features.shape[1] == 128


def test_expanded_anchors_huddle_less_than_the_texts_on_seen_and_unseen_classes() -> None:
    inputs = given()
    for names in (inputs.seen, CLASSES[14:]):
        raw, wide = (make_anchors(kind, inputs, names) for kind in ("raw", "expanded"))
        assert mean_cosine(wide) < mean_cosine(raw) - 0.1
        rows, columns = torch.triu_indices(len(names), len(names), 1)
        pairs = torch.stack([cosines(raw)[rows, columns], cosines(wide)[rows, columns]])
        assert torch.corrcoef(pairs)[0, 1] > 0.9  # who is near whom stays


def test_anchors_of_an_unseen_class_do_not_depend_on_who_else_is_asked_for() -> None:
    inputs = given()
    for kind in ("raw", "expanded", "mmc", "sparse"):
        all_of_them = make_anchors(kind, inputs, CLASSES)
        torch.testing.assert_close(make_anchors(kind, inputs, CLASSES[20:]), all_of_them[20:])


def test_mmc_anchors_share_the_lowest_cosine() -> None:
    found = cosines(make_anchors("mmc", given(), CLASSES))
    others = found[~torch.eye(24, dtype=torch.bool)]
    torch.testing.assert_close(others, torch.full_like(others, -1 / 23), rtol=0, atol=1e-6)


def test_sparse_anchors_are_nonnegative_codes_of_the_centred_texts() -> None:
    inputs = given()
    found = make_anchors("sparse", inputs, CLASSES)
    mean = functional.normalize(inputs.texts.of(inputs.seen).double(), dim=1).mean(0)

    def centred(features: Tensor) -> Tensor:
        return functional.normalize(functional.normalize(features.double(), dim=1) - mean, dim=1)

    assert inputs.concepts is not None
    atoms = centred(inputs.concepts.features)
    codes = lasso(centred(inputs.texts.features), atoms, 0.1, nonnegative=True).codes
    expected = functional.normalize(codes, dim=1).float()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert found.min() >= 0
    assert (found > 0).sum(1).float().mean() < 0.5 * found.shape[1]
    too_much = AnchorInputs(inputs.texts, inputs.seen, inputs.concepts, alpha=2.0)
    with pytest.raises(ValueError, match="none"):
        make_anchors("sparse", too_much, CLASSES)


def test_class_means_average_directions() -> None:
    features = torch.tensor([[2.0, 0.0], [0.0, 5.0], [0.0, 1.0]])
    found = class_means(features, torch.tensor([0, 0, 1]), 2)
    torch.testing.assert_close(found, torch.tensor([[0.5**0.5, 0.5**0.5], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="each class"):
        class_means(features, torch.tensor([0, 0, 2]), 3)


def test_a_blend_weighs_texts_as_so_many_images() -> None:
    texts, means = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    expected = functional.normalize(torch.tensor([[2.0, 5.0]]), dim=1)
    torch.testing.assert_close(blend(texts, means, 5), expected)
    torch.testing.assert_close(blend(texts, means, 5, text_weight=0.0), means)
    with pytest.raises(ValueError, match="at least 0"):
        blend(texts, means, 1, text_weight=-1.0)
    with pytest.raises(ValueError, match="one shape"):
        blend(texts, means[:, :1], 1)


def test_class_names_are_spoken_in_the_templates() -> None:
    found = embed_classes(LetterCounts(), ["sweet_pepper", "ray"])
    expected = LetterCounts().text(
        ["This is a photo of a sweet pepper", "This is a photo of a ray"]
    )
    torch.testing.assert_close(found.features, functional.normalize(expected, dim=1))
    assert found.of(["ray"]).shape == (1, 26)
    with pytest.raises(ValueError, match="none for 'cat'"):
        found.of(["cat"])
    with pytest.raises(ValueError, match="contain"):
        embed_classes(LetterCounts(), ["ray"], templates=["a photo"])


def test_stored_features_come_back_with_their_names(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=r"a\.txt"):
        load_class_texts(tmp_path / "a.npy")
    assert load_class_texts(tmp_path / "a.npy", ["x", "y"]).names == ("x", "y")
    (tmp_path / "a.txt").write_text("cat\ndog\n")
    found = load_class_texts(tmp_path / "a.npy")
    assert found.names == ("cat", "dog")
    assert torch.equal(found.features, torch.from_numpy(array))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_safetensors_features_need_no_package_to_be_read(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    features = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=dtype)
    name = {torch.float32: "F32", torch.bfloat16: "BF16"}[dtype]
    data = features.view(torch.uint8).numpy().tobytes()
    header = {
        "__metadata__": {"names": json.dumps(["cat", "dog"])},
        "features": {"dtype": name, "shape": [2, 2], "data_offsets": [0, len(data)]},
    }
    text = json.dumps(header).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    found = load_class_texts(path)
    assert found.names == ("cat", "dog")
    assert torch.equal(found.features, features)


def test_texts_without_a_row_for_each_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="row for each name"):
        ClassTexts(("a",), torch.ones(2, 3), "here")
    with pytest.raises(ValueError, match="twice"):
        ClassTexts(("a", "a"), torch.ones(2, 3), "here")
    with pytest.raises(FileNotFoundError, match="must be a file"):
        load_class_texts(tmp_path / "none.npy")


def test_fit_trains_a_copy_towards_the_anchors() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 2
    bright = torch.rand(64, 3, 4, 4, generator=generator) * 0.4 + 0.6 * labels[:, None, None, None]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 6))
    before = encoder[1].weight.clone()
    found = LAAT.fit(encoder, bright, labels, anchors=torch.eye(6)[:2], eps=0.02, epochs=15)
    assert torch.equal(encoder[1].weight, before)
    assert (found(bright).argmax(1) == labels).float().mean() > 0.95


def test_expansion_is_public_beside_the_classifier() -> None:
    seen = shapeworld_texts()[0].features[:14]
    assert AnchorExpansion.fit(seen).stretch > 1
