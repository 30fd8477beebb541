"""Filters: what goes, for which reason, and that nothing is lost."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from vectors import at_angle, encoder

from sparsedef.concepts import Concept, ConceptList, context_words, filter_concepts

CLASSES = ["cat", "golden retriever", "Shih-Tzu"]


def made(*texts: str) -> ConceptList:
    return ConceptList(tuple(Concept(text, "by hand") for text in texts))


def reason(text: str, class_names: Sequence[str] = CLASSES, **options: Any) -> str | None:
    """Why ``text`` alone is dropped."""
    found = filter_concepts(made(text), class_names, **options)
    return found.dropped[0].reason if found.dropped else None


def test_nothing_is_lost_and_the_order_stays() -> None:
    concepts = made(
        "whiskers", "a cat's ears", "a very long phrase about ears and tails", "in the snow", "fur"
    )
    result = filter_concepts(concepts, CLASSES)
    assert result.kept.texts == ("whiskers", "fur")
    assert [(each.concept.text, each.reason) for each in result.dropped] == [
        ("a very long phrase about ears and tails", "length: 39 characters, at most 30"),
        ("a cat's ears", "class name: contains 'cat'"),
        ("in the snow", "context: contains 'snow'"),
    ]
    both = [*result.kept, *(each.concept for each in result.dropped)]
    assert sorted(both, key=lambda each: each.text) == sorted(concepts, key=lambda c: c.text)
    assert result.counts() == {"length": 1, "class name": 1, "context": 1}


def test_length_counts_characters_and_includes_the_limit() -> None:
    assert reason("x" * 30) is None
    assert reason("x" * 31) == "length: 31 characters, at most 30"
    assert reason("x" * 31, max_length=31) is None
    assert reason("x" * 300, max_length=None) is None


@pytest.mark.parametrize(
    "text",
    ["cat", "Cats", "a cat's ear", "cat-like eyes", "a Golden  Retriever".replace("  ", " "),
     "golden retrievers at play", "golden_retriever", "shih tzu hair", "a shih-tzu"],
)  # fmt: skip
def test_a_class_name_is_found_in_any_spelling(text: str) -> None:
    found = reason(text, context=())
    assert found is not None
    assert found.startswith("class name: contains ")


@pytest.mark.parametrize("text", ["category", "wildcat fur", "golden fur", "retriever", "catty"])
def test_parts_of_words_and_of_names_are_no_class_name(text: str) -> None:
    assert reason(text) is None


def test_without_class_names_no_such_filter_runs() -> None:
    assert reason("cat", []) is None
    assert filter_concepts(made("cat"), []).applied == ("length", "context")


@pytest.mark.parametrize(
    "text",
    ["in the snow", "Snowflakes", "at night", "bright light", "a summer coat", "near clouds",
     "on the water", "a wooden wall", "an outdoor scene"],
)  # fmt: skip
def test_context_goes(text: str) -> None:
    found = reason(text)
    assert found is not None
    assert found.startswith("context: ")


@pytest.mark.parametrize(
    "text",
    ["snow-white fur", "light brown fur", "a dark muzzle", "red fur", "a sandy coat", "headlights",
     "a coil spring", "water-repellent fur", "a parked bus"],
)  # fmt: skip
def test_what_only_sounds_like_context_stays(text: str) -> None:
    assert reason(text) is None


def test_the_context_is_the_callers_to_choose() -> None:
    assert reason("red fur", context=context_words("colour")) == "context: contains 'red'"
    assert reason("in the snow", context=context_words("colour")) is None
    assert reason("in the snow", context=[]) is None
    with pytest.raises(ValueError, match="groups must be of"):
        context_words("wether")


def test_likeness_to_a_class_goes_from_the_threshold_on() -> None:
    vectors = {
        "cat": at_angle(0, 3),
        "dog": at_angle(90),
        "near": at_angle(30),
        "far": at_angle(40),
    }
    vectors["opposite"] = at_angle(180)
    encode = encoder(vectors)
    result = filter_concepts(
        made("near", "far", "opposite"), ["cat", "dog"], encode=encode, duplicate_similarity=None
    )
    assert result.kept.texts == ("far", "opposite")
    assert result.dropped[0].reason == "class similarity: 0.866 to 'cat'"
    loose = filter_concepts(
        made("near", "far"), ["cat", "dog"], encode=encode, class_similarity=0.87,
        duplicate_similarity=None,
    )  # fmt: skip
    assert loose.kept.texts == ("near", "far")


def test_of_duplicates_the_first_stays_and_chains_do_not_spread() -> None:
    angles = {"a": 0, "b": 20, "c": 40, "opposite of a": 185, "d": 90}
    encode = encoder({text: at_angle(angle, 2) for text, angle in angles.items()})
    result = filter_concepts(made(*angles), [], encode=encode)
    # b is like a and like c, but c is not like a
    assert result.kept.texts == ("a", "c", "d")
    assert [each.reason for each in result.dropped] == [
        "duplicate: |cos| 0.940 to 'a'", "duplicate: |cos| 0.996 to 'a'",
    ]  # fmt: skip
    assert result.counts()["duplicate"] == 2


def test_no_two_that_stay_are_duplicates_and_each_that_goes_has_one() -> None:
    generator = torch.Generator().manual_seed(0)
    texts = [f"phrase {i}" for i in range(1100)]
    rows = torch.randn(len(texts), 4, generator=generator)
    lookup = dict(zip(texts, rows.tolist(), strict=True))
    result = filter_concepts(made(*texts), [], encode=encoder(lookup))
    units = torch.nn.functional.normalize(rows, dim=1)
    cosines = (units @ units.mT).abs()
    kept = [texts.index(text) for text in result.kept.texts]
    assert 1 < len(kept) < 1000
    assert cosines[kept][:, kept].fill_diagonal_(0).max() < 0.9
    for each in result.dropped:
        row = texts.index(each.concept.text)
        earlier = [other for other in kept if other < row]
        named = each.reason.split(" to ")[1].strip("'")
        assert cosines[row, earlier].max() >= 0.9
        assert cosines[row, texts.index(named)] == cosines[row, earlier].max()


def test_centring_tells_apart_what_only_shares_a_mean() -> None:
    vectors = {"a": (10.0, 1.0, 0.0), "b": (10.0, -1.0, 1.0), "c": (10.0, 0.0, -1.0)}
    options = {"encode": encoder(vectors)}
    assert filter_concepts(made("a", "b", "c"), [], **options).kept.texts == ("a",)
    centred = filter_concepts(made("a", "b", "c"), [], center="text", **options)
    assert centred.kept.texts == ("a", "b", "c")
    one = filter_concepts(made("a"), [], center="text", **options)
    assert one.kept.texts == ("a",)


def test_the_encoder_sees_each_text_once_in_the_template_and_only_what_is_left() -> None:
    calls: list[list[str]] = []

    def encode(texts: Sequence[str]) -> torch.Tensor:
        calls.append(list(texts))
        return torch.eye(len(texts), 8, requires_grad=True) * 2

    concepts = made("fur", "in the snow", "tail")
    result = filter_concepts(concepts, ["cat"], encode=encode, template="a {} here")
    assert calls == [["a fur here", "a tail here", "a cat here"]]
    assert result.applied == ("length", "class name", "context", "class similarity", "duplicate")
    assert result.kept.texts == ("fur", "tail")


def test_a_result_goes_to_json_with_its_reasons() -> None:
    result = filter_concepts(made("fur", "in the snow"), ["cat"])
    found = json.loads(result.to_json())
    assert ConceptList.from_json(json.dumps(found["kept"])) == result.kept
    assert found["dropped"][0]["text"] == "in the snow"
    assert found["dropped"][0]["reason"] == "context: contains 'snow'"
    assert found["applied"] == ["length", "class name", "context"]


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"concepts": ["fur"]}, TypeError, "concepts must be a ConceptList, got list"),
        ({"class_names": "cat"}, TypeError, "class_names must be several texts"),
        ({"context": "snow"}, TypeError, "context must be several texts"),
        ({"max_length": 0}, ValueError, "max_length must be at least 1"),
        ({"class_similarity": 0.0}, ValueError, "class_similarity must be above 0"),
        ({"duplicate_similarity": 1.5}, ValueError, "duplicate_similarity must be above 0"),
        ({"duplicate_similarity": float("nan")}, ValueError, "duplicate_similarity must be"),
        ({"center": "both"}, ValueError, "center must be one of"),
        ({"template": "a photo"}, ValueError, "template must have one {}"),
        ({"encode": lambda texts: [1.0]}, TypeError, "what encode gives must be a torch.Tensor"),
        ({"encode": lambda texts: torch.ones(3, 2)}, ValueError, r"must give \[2, M\] for 2 texts"),
        ({"encode": lambda texts: torch.zeros(2, 2)}, ValueError, r"2 are not: \['fur', 'cat'\]"),
        ({"encode": lambda texts: torch.full((2, 2), torch.nan)}, ValueError, "must be finite"),
    ],
)
def test_mistakes_are_told(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    arguments = {
        "concepts": made("fur"), "class_names": ["cat"],
        "encode": lambda texts: torch.ones(len(texts), 2), **options,
    }  # fmt: skip
    with pytest.raises(kind, match=message):
        filter_concepts(**arguments)
