"""Concepts from a plain text file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from sparsedef.concepts.concept import Concept, ConceptList, clean_text

COMMENT = re.compile(r"(^|\s)#.*$")


def read_lines(who: str, path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """Gives the lines of a UTF-8 file with their numbers, comments and empty ones left out.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not UTF-8.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{who}: path must be a file, got {os.fspath(path)!r}")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{who}: {file} must be UTF-8 text: {error}") from error
    for number, line in enumerate(text.split("\n"), start=1):
        kept = COMMENT.sub("", line)
        if kept.strip():
            yield number, kept


def read_concepts(path: str | os.PathLike[str]) -> ConceptList:
    r"""Reads concepts from a text file, one a line.

    What follows a ``#`` at the beginning of a line or after a blank is a comment. A phrase that
    comes again (but for case and blanks) counts once.

    Args:
        path: Of the file, UTF-8.

    Returns:
        The concepts in their order, with the file's name as origin and no classes.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no concept or is not UTF-8.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "mine.txt")
        ...     _ = path.write_text("# of animals\nfour legs\nlong ears  # as rabbits have\n")
        ...     read_concepts(path).texts
        ('four legs', 'long ears')
    """
    name = Path(path).name
    lines = read_lines("read_concepts", path)
    found = ConceptList.joined(Concept(clean_text(line), name) for _, line in lines)
    if not len(found):
        raise ValueError(f"read_concepts: {os.fspath(path)} must hold a concept a line, has none")
    return found
