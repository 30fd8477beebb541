"""Hypernyms: everything a class is a kind of, nearest first."""

from pathlib import Path

import pytest

from sparsedef.concepts import Concept, concepts_from_hypernyms, hypernyms, read_parents

LINES = """# child and parent
beagle\thound
hound\tHunting_dog
hunting dog\tdog
beagle\tpet   # a second parent
dog\tcanine
pet\tanimal
canine\tanimal
siamese\tcat
cat\tanimal
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "parents.txt"
    path.write_text(LINES)
    return path


def test_all_hypernyms_come_once_and_nearest_first(path: Path) -> None:
    parents = read_parents(path)
    found = hypernyms("Beagle", parents)
    assert found == ("hound", "pet", "Hunting dog", "animal", "dog", "canine")
    assert hypernyms("beagle", parents, levels=1) == ("hound", "pet")
    assert hypernyms("beagle", parents, levels=99) == found
    assert hypernyms("animal", parents) == ()


def test_concepts_of_several_classes_name_them_all(path: Path) -> None:
    found = concepts_from_hypernyms(["beagle", "siamese"], read_parents(path))
    assert found.texts[-1] == "cat"
    shared = next(each for each in found if each.text == "animal")
    assert shared == Concept("animal", "hypernyms", ("beagle", "siamese"))


def test_mistakes_are_told(path: Path, tmp_path: Path) -> None:
    parents = read_parents(path)
    with pytest.raises(ValueError, match="each class must be among the children, got 'truck'"):
        concepts_from_hypernyms(["beagle", "truck"], parents)
    with pytest.raises(ValueError, match="levels must be at least 1"):
        hypernyms("beagle", parents, levels=0)
    with pytest.raises(TypeError, match="parents of 'a' must be a tuple of names, got 'b'"):
        hypernyms("a", {"a": "b"})  # type: ignore[dict-item]
    for lines, message in (
        ("beagle hound\n", "line 1 of .* must be child, TAB, parent"),
        ("# a\nbeagle\t\n", "line 2 of"),
        ("# a\n", "must hold a pair a line"),
        ("a\tb\nb\tc\nc\tA\n", "no name must be a kind of itself, got"),
    ):
        wrong = tmp_path / "wrong.txt"
        wrong.write_text(lines)
        with pytest.raises(ValueError, match=message):
            read_parents(wrong)


def test_a_circle_is_found_wherever_it_is() -> None:
    for parents in ({"a": ("b",), "b": ("A",)}, {"a": ("b",), "b": ("c",), "c": ("b",)}):
        with pytest.raises(ValueError, match=r"no name must be a kind of itself, got '\w' < '\w'"):
            hypernyms("a", parents)
