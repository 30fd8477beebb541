"""The shipped lists: about the classes, none of which they name, and free of context."""

import re
from collections.abc import Iterable

import pytest

from sparsedef.concepts import ConceptList, context_words, filter_concepts, load_concepts
from sparsedef.concepts.shipped import shipped_lists
from sparsedef.concepts.wording import Phrases

SHAPES = ("disc", "ring", "square", "triangle", "star", "cross", "heart", "crescent")
FILLS = ("plain", "striped", "dotted")
SHAPEWORLD = tuple(f"{fill} {shape}" for shape in SHAPES for fill in FILLS)
SCENES = ("grass", "water", "sand", "brick", "sky", "wood", "ground", "flake", "bright", "dark")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGEWOOF = (
    "Shih-Tzu", "Rhodesian ridgeback", "beagle", "English foxhound", "Border terrier",
    "Australian terrier", "golden retriever", "Old English sheepdog", "Samoyed", "dingo",
)  # fmt: skip
# name of the list: its classes, words that would name one, least and most concepts a class
LISTS: dict[str, tuple[tuple[str, ...], tuple[str, ...], int, int]] = {
    "shapeworld": (SHAPEWORLD, (*SHAPES, *FILLS), 10, 20),
    "shapeworld-rich": (SHAPEWORLD, (*SHAPES, *FILLS), 60, 110),
    "shapeworld-open": (SHAPEWORLD, (*SHAPES, *FILLS), 60, 110),
    "cifar10": (CIFAR10, CIFAR10, 10, 20),
    "imagewoof": (IMAGEWOOF, IMAGEWOOF, 10, 20),
}


def words_of(texts: Iterable[str]) -> set[str]:
    return set(re.findall(r"[\w-]+", " ".join(texts)))


@pytest.mark.parametrize("name", LISTS)
def test_every_class_has_concepts_under_the_name_that_its_data_set_gives(name: str) -> None:
    concepts = load_concepts(name)
    classes, _, least, most = LISTS[name]
    assert set(concepts.classes) == set(classes)
    for each in classes:
        assert least <= len(concepts.of_class(each)) <= most, each
    assert all(concept.classes and concept.origin for concept in concepts)


@pytest.mark.parametrize("name", LISTS)
def test_no_filter_finds_anything_in_them(name: str) -> None:
    _, names, _, _ = LISTS[name]
    context = context_words()
    if name.startswith("shapeworld"):
        context += (*context_words("colour"), *SCENES)
    result = filter_concepts(load_concepts(name), names, context=context)
    assert [(each.concept.text, each.reason) for each in result.dropped] == []


def test_no_two_classes_have_the_same_concepts() -> None:
    for name, (classes, _, _, _) in LISTS.items():
        concepts = load_concepts(name)
        assert len({concepts.of_class(each).texts for each in classes}) == len(classes), name


def test_the_rich_list_begins_with_the_short_one() -> None:
    short, rich = load_concepts("shapeworld"), load_concepts("shapeworld-rich")
    assert rich.concepts[: len(short)] == short.concepts
    assert len(rich) >= 5 * len(short)


def test_the_context_list_speaks_of_every_nuisance_and_of_no_class() -> None:
    context = load_concepts("shapeworld-context")
    assert context.classes == ()
    nuisances = ("snow", "rain", "fog", "night", "sunset", "red", "orange", "yellow", "green",
                 "cyan", "blue", "purple", "white", "grass", "water", "sand", "brick", "sky",
                 "wood")  # fmt: skip
    for word in nuisances:
        wanted = Phrases([word], splits_hyphens=True)
        assert any(wanted.find_in(text) for text in context.texts), word
    names = Phrases((*SHAPES, *FILLS), splits_hyphens=True)
    assert [text for text in context.texts if names.find_in(text)] == []
    relevant = words_of(load_concepts("shapeworld-rich").texts)
    assert relevant & words_of(context.texts) == {"a", "an", "in", "of", "on", "the"}


def test_the_classes_are_those_of_the_world_and_the_data_sets() -> None:
    data = pytest.importorskip("sparsedef.data.imagenette")
    assert tuple(data.IMAGEWOOF.values()) == IMAGEWOOF
    world = pytest.importorskip("sparsedef.worlds.classes", reason="this copy has no worlds")
    assert world.CLASSES == SHAPEWORLD


def test_the_small_clip_was_taught_every_word_and_phrases_mean_what_its_captions_mean() -> None:
    phrases = pytest.importorskip("sparsedef.worlds.phrases", reason="this copy has no worlds")
    scenes = pytest.importorskip("sparsedef.worlds.scenes", reason="this copy has no worlds")
    captions = (*phrases.relevant_phrases(), *phrases.irrelevant_phrases(), *scenes.COLOURS)
    known = words_of((*captions, "a picture of an image and a drawing of a shape with"))
    for name in ("shapeworld", "shapeworld-rich", "shapeworld-context"):
        assert words_of(load_concepts(name).texts) - known == set(), name
    ours = {concept.text: set(concept.classes) for concept in load_concepts("shapeworld")}
    theirs = {**phrases.SHAPE_FEATURES, **phrases.FILL_FEATURES}
    both = ours.keys() & theirs.keys()
    assert len(both) >= 0.8 * len(theirs)
    for text in both:
        assert ours[text] == {each for each in SHAPEWORLD if set(each.split()) & theirs[text]}, text


def test_the_files_are_as_save_writes_them() -> None:
    from sparsedef.concepts.shipped import SHIPPED

    for name in shipped_lists():
        text = (SHIPPED / f"{name}.json").read_text(encoding="utf-8")
        assert ConceptList.from_json(text).to_json() == text


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"got 'shapeword' \(shapeworld\?\)"):
        load_concepts("shapeword")
    with pytest.raises(ValueError, match=r"\(read_concepts reads a file of your own\)"):
        load_concepts("qqq")
