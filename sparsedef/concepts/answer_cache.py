"""The answers of a language model in a JSON file, so that each question is asked once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from sparsedef.whole_file import remove_leftovers, whole_file

FORMAT = "sparsedef.concepts.answers"
REVISION = 1  # of the file's meaning


class Question(NamedTuple):
    """All that an answer depends on.

    Attributes:
        model: Name of the language model.
        temperature: ``None`` if none was sent.
        prompt: The whole text that was sent.
        class_name: Of the class that it is about.
        draw: Which of several answers, from 0.
    """

    model: str
    temperature: float | None
    prompt: str
    class_name: str
    draw: int


class Answer(NamedTuple):
    """What the model wrote.

    Attributes:
        text: Word for word.
        is_cut: A limit of tokens ended it.
    """

    text: str
    is_cut: bool


class AnswerCache:
    """Answers by their questions, read from a file and written to it after each new one.

    The file is JSON with one answer after the other, to be read and mended by people too: delete
    an entry and it is asked again. One run at a time may use it.

    Args:
        path: Of the file; made at the first answer, its folder too.

    Raises:
        ValueError: The file holds something else.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Reads what is there; see the class."""
        self.path = Path(path)
        self._answers: dict[Question, Answer] = {}
        remove_leftovers(self.path.parent, self.path.name)
        if self.path.exists():
            self._answers = _read(self.path)

    def __len__(self) -> int:
        """Number of answers."""
        return len(self._answers)

    def get(self, question: Question) -> Answer | None:
        """Gives the answer, or ``None`` if the question was not asked yet."""
        return self._answers.get(question)

    def put(self, question: Question, answer: Answer) -> None:
        """Keeps an answer; afterwards the file is whole, and has it."""
        self._answers[question] = answer
        rows = [{**q._asdict(), **a._asdict()} for q, a in self._answers.items()]
        found = {"format": FORMAT, "revision": REVISION, "answers": rows}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as draft:
            draft.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")


def _read(path: Path) -> dict[Question, Answer]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT or found["revision"] != REVISION:
            raise ValueError(f"format is {found['format']!r}, revision {found['revision']!r}")
        return {
            Question(*(row[name] for name in Question._fields)): Answer(row["text"], row["is_cut"])
            for row in found["answers"]
        }
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"AnswerCache: {path} must be a file of answers or not be there, got one that cannot "
            f"be read: {type(error).__name__}: {error}"
        ) from error
