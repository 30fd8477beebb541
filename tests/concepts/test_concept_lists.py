"""Lists of concepts: each text once, whole through JSON, and from text files."""

import dataclasses
import json
from pathlib import Path

import pytest

from sparsedef.concepts import Concept, ConceptList, clean_text, read_concepts


def made(*texts: str) -> ConceptList:
    return ConceptList(tuple(Concept(text, "by hand", ("cat",)) for text in texts))


def test_a_list_goes_through_json_and_file_whole(tmp_path: Path) -> None:
    concepts = ConceptList(
        (
            Concept('quotes "and" \\ slashes', "a: b", ("cat", "dog")),
            Concept("Bärenfell", "Größe; 猫", ()),
        )
    )
    assert ConceptList.from_json(concepts.to_json()) == concepts
    concepts.save(tmp_path / "a.json")
    assert ConceptList.load(tmp_path / "a.json") == concepts
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert ConceptList.from_json(ConceptList(()).to_json()) == ConceptList(())


def test_nothing_can_be_changed() -> None:
    concepts = made("four legs")
    with pytest.raises(dataclasses.FrozenInstanceError):
        concepts.concepts = ()  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        concepts[0].text = "five legs"  # type: ignore[misc]
    assert len({concepts, made("four legs")}) == 1


def test_joining_keeps_the_first_place_and_every_origin_and_class() -> None:
    one = made("four legs", "a tail")
    other = ConceptList(
        (Concept("A  tail".replace("  ", " "), "a file", ("dog", "cat")), Concept("fur", "a file"))
    )
    both = one + other
    assert both.texts == ("four legs", "a tail", "fur")
    assert both[1] == Concept("a tail", "by hand; a file", ("cat", "dog"))
    assert both.classes == ("cat", "dog")
    assert both.of_class("dog").texts == ("a tail",)
    assert one + one == one


@pytest.mark.parametrize("text", ["", " fur", "long  fur", "long\nfur", "long\tfur", "fur\u00a0"])
def test_a_text_that_is_not_clean_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Concept: text must be a phrase with single blanks"):
        Concept(text, "by hand")
    if text:
        assert Concept(clean_text(text), "by hand").text in ("fur", "long fur")


def test_a_text_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got 'Fur' again \(ConceptList.joined"):
        made("fur", "Fur")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("four legs\n", "not JSON"),
        ('["four legs"]', "read_concepts reads plain text"),
        ('{"format": "sparsedef.concepts", "revision": 2}', "revision must be 1, got 2"),
        ('{"format": "sparsedef.concepts", "revision": 1}', "concepts must be a list"),
        (
            json.dumps(
                {"format": "sparsedef.concepts", "revision": 1, "concepts": [{"text": "fur"}]}
            ),
            "each concept must have a text, an origin and a list of classes",
        ),
    ],
)
def test_json_of_something_else_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConceptList.from_json(text)


def test_a_text_file_gives_its_lines_without_comments(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    lines = ["\ufeff# of cats", "", "  Long   whiskers ", "C# sharp#ness", "long whiskers", "a # b"]
    path.write_bytes("\r\n".join(lines).encode())
    found = read_concepts(path)
    assert found.texts == ("Long whiskers", "C# sharp#ness", "a")
    assert found[0] == Concept("Long whiskers", "mine.txt", ())


def test_text_files_that_cannot_be_read_say_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="read_concepts: path must be a file"):
        read_concepts(tmp_path)
    (tmp_path / "empty.txt").write_text("# nothing\n\n")
    with pytest.raises(ValueError, match="must hold a concept a line, has none"):
        read_concepts(tmp_path / "empty.txt")
    (tmp_path / "latin.txt").write_bytes(b"B\xe4renfell\n")
    with pytest.raises(ValueError, match="must be UTF-8 text"):
        read_concepts(tmp_path / "latin.txt")
