"""What a concept is here, and a list of them that goes to JSON and back whole."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sparsedef.whole_file import whole_file

FORMAT = "sparsedef.concepts"
REVISION = 1  # of the file's meaning


def clean_text(text: str) -> str:
    """Makes one line of a text: composed Unicode, single blanks, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def fold(text: str) -> str:
    """What two spellings of one concept share: cleaned, without case."""
    return clean_text(text).casefold()


@dataclass(frozen=True)
class Concept:
    """A phrase that a text encoder can embed, and where it comes from.

    Args:
        text: The phrase, on one line without blanks at its ends.
        origin: Where it comes from, such as a file or a model and its question.
        classes: Names of the classes that it was said of; empty when nobody said.

    Raises:
        ValueError: ``text`` is empty or not clean.
    """

    text: str
    origin: str
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuses a text that is empty or not clean."""
        if not self.text or self.text != clean_text(self.text):
            raise ValueError(
                f"Concept: text must be a phrase with single blanks and none at its ends, got "
                f"{self.text!r} (clean_text makes one)"
            )


@dataclass(frozen=True)
class ConceptList:
    """An ordered list of concepts, each text once whatever its case; immutable.

    Iterates, counts and indexes as a tuple of :class:`Concept` does. ``one + other`` has the
    concepts of both, those of equal texts joined as in :meth:`joined`.

    Args:
        concepts: In their order.

    Raises:
        ValueError: Two have the same text.

    Example:
        >>> one = ConceptList((Concept("four legs", "by hand", ("cat",)),))
        >>> both = one + ConceptList((Concept("Four legs", "a file", ("dog",)),))
        >>> both[0]
        Concept(text='four legs', origin='by hand; a file', classes=('cat', 'dog'))
        >>> ConceptList.from_json(both.to_json()) == both
        True
    """

    concepts: tuple[Concept, ...]

    def __post_init__(self) -> None:
        """Refuses a text that comes twice."""
        seen: set[str] = set()
        for concept in self.concepts:
            if fold(concept.text) in seen:
                raise ValueError(
                    f"ConceptList: each text must come once, got {concept.text!r} again "
                    f"(ConceptList.joined makes one of equal texts)"
                )
            seen.add(fold(concept.text))

    @classmethod
    def joined(cls, concepts: Iterable[Concept]) -> ConceptList:
        """Makes a list in which equal texts (but for case) are one concept.

        It stands where the first stood, spelled as the first; its origins (separated by ``"; "``)
        and classes are those of all, each once.
        """
        groups: dict[str, list[Concept]] = {}
        for concept in concepts:
            groups.setdefault(fold(concept.text), []).append(concept)
        return cls(tuple(_join(group) for group in groups.values()))

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts, in their order."""
        return tuple(concept.text for concept in self.concepts)

    @property
    def classes(self) -> tuple[str, ...]:
        """Every class that a concept was said of, in the order of the first mention."""
        return tuple(dict.fromkeys(name for each in self.concepts for name in each.classes))

    def of_class(self, name: str) -> ConceptList:
        """Keeps the concepts that were said of the class ``name``."""
        return ConceptList(tuple(each for each in self.concepts if name in each.classes))

    def to_json(self) -> str:
        """Writes the whole list as a JSON text, one concept a line."""
        rows = ",\n".join(_to_line(concept) for concept in self.concepts)
        head = f'"format": {json.dumps(FORMAT)}, "revision": {REVISION}'
        return f'{{{head}, "concepts": [\n{rows}\n]}}\n'

    @classmethod
    def from_json(cls, text: str) -> ConceptList:
        """Reads what :meth:`to_json` wrote.

        Raises:
            ValueError: It is something else, or was written by a newer sparsedef.
        """
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"ConceptList: not JSON: {error}") from error
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError(
                f'ConceptList: must be an object with "format": "{FORMAT}", got {text[:60]!r} '
                f"(read_concepts reads plain text, one concept a line)"
            )
        if found.get("revision") != REVISION:
            raise ValueError(
                f"ConceptList: revision must be {REVISION}, got {found.get('revision')!r} "
                f"(pip install -U sparsedef)"
            )
        rows = found.get("concepts")
        if not isinstance(rows, list):
            raise ValueError(f"ConceptList: concepts must be a list, got {type(rows).__name__}")
        return cls(tuple(_from_row(row) for row in rows))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the list to a JSON file, whole or not at all."""
        with whole_file(path) as draft:
            draft.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ConceptList:
        """Reads a file of :meth:`save`.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: As for :meth:`from_json`.
        """
        return cls.from_json(Path(path).read_text(encoding="utf-8"))

    def __add__(self, other: ConceptList) -> ConceptList:
        """Joins two lists; see :meth:`joined`."""
        return ConceptList.joined((*self.concepts, *other.concepts))

    def __len__(self) -> int:
        """Number of concepts."""
        return len(self.concepts)

    def __iter__(self) -> Iterator[Concept]:
        """Goes through the concepts in their order."""
        return iter(self.concepts)

    def __getitem__(self, row: int) -> Concept:
        """Gives one concept."""
        return self.concepts[row]


def _join(group: list[Concept]) -> Concept:
    origins = dict.fromkeys(part for each in group for part in each.origin.split("; "))
    classes = dict.fromkeys(name for each in group for name in each.classes)
    return Concept(group[0].text, "; ".join(origins), tuple(classes))


def _to_line(concept: Concept) -> str:
    row = {"text": concept.text, "origin": concept.origin, "classes": list(concept.classes)}
    return json.dumps(row, ensure_ascii=False)


def _from_row(row: object) -> Concept:
    wanted = {"text", "origin", "classes"}
    is_row = (
        isinstance(row, dict)
        and row.keys() == wanted
        and isinstance(row["text"], str)
        and isinstance(row["origin"], str)
        and isinstance(row["classes"], list)
        and all(isinstance(name, str) for name in row["classes"])
    )
    if not is_row:
        raise ValueError(
            f"ConceptList: each concept must have a text, an origin and a list of classes, got "
            f"{row!r}"
        )
    assert isinstance(row, dict)
    return Concept(row["text"], row["origin"], tuple(row["classes"]))
