"""What classes are kinds of: hypernyms from a list of child and parent."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from sparsedef.concepts.concept import Concept, ConceptList, clean_text, fold
from sparsedef.concepts.text_file import read_lines

Parents = Mapping[str, tuple[str, ...]]


def read_parents(path: str | os.PathLike[str]) -> Parents:
    """Reads which name is a kind of which: lines of child, TAB, parent.

    A child with several parents has several lines. Underscores are read as blanks, ``#`` begins a
    comment as in :func:`read_concepts`.

    Args:
        path: Of the file, UTF-8.

    Returns:
        The parents of each child, in the order of the lines.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line is not of that form; the names go round in a circle; or it is empty.
    """
    parents: dict[str, tuple[str, ...]] = {}
    for number, line in read_lines("read_parents", path):
        pair = [clean_text(part.replace("_", " ")) for part in line.split("\t")]
        if len(pair) != 2 or not all(pair):
            raise ValueError(
                f"read_parents: line {number} of {os.fspath(path)} must be child, TAB, parent, "
                f"got {line!r}"
            )
        parents[pair[0]] = (*parents.get(pair[0], ()), pair[1])
    if not parents:
        raise ValueError(f"read_parents: {os.fspath(path)} must hold a pair a line, has none")
    _folded("read_parents", parents)
    return parents


def hypernyms(name: str, parents: Parents, *, levels: int | None = None) -> tuple[str, ...]:
    """Finds all that ``name`` is a kind of, nearest first.

    Args:
        name: Of a class; case does not matter, underscores are read as blanks.
        parents: Of each child, as :func:`read_parents` gives them.
        levels: Steps up at most; ``None`` for all, up to the roots, which are often too general to
            be seen ("entity").

    Raises:
        ValueError: ``name`` is neither child nor parent, ``levels`` is below 1, or the names go
            round in a circle.

    Example:
        >>> parents = {"beagle": ("hound",), "hound": ("dog",), "dog": ("canine", "pet")}
        >>> hypernyms("Beagle", parents)
        ('hound', 'dog', 'canine', 'pet')
        >>> hypernyms("Beagle", parents, levels=2)
        ('hound', 'dog')
    """
    return _climb("hypernyms", name, _folded("hypernyms", parents), levels)


def concepts_from_hypernyms(
    class_names: Sequence[str], parents: Parents, *, levels: int | None = None
) -> ConceptList:
    """Makes a concept of everything that a class is a kind of.

    Args:
        class_names: Each must occur in ``parents``.
        parents: Of each child, as :func:`read_parents` gives them; a WordNet can be written so.
        levels: As for :func:`hypernyms`.

    Returns:
        Concepts in the order of the classes, nearest first; one that several classes share is
        there once and names them all.

    Raises:
        ValueError: As for :func:`hypernyms`.

    Example:
        >>> parents = {"cat": ("mammal",), "dog": ("mammal",), "frog": ("amphibian",)}
        >>> concepts_from_hypernyms(["cat", "dog"], parents)[0]
        Concept(text='mammal', origin='hypernyms', classes=('cat', 'dog'))
    """
    who = "concepts_from_hypernyms"
    folded = _folded(who, parents)
    return ConceptList.joined(
        Concept(text, "hypernyms", (name,))
        for name in class_names
        for text in _climb(who, name, folded, levels)
    )


def _key(name: str) -> str:
    return fold(name.replace("_", " "))


def _folded(who: str, parents: Parents) -> dict[str, tuple[str, ...]]:
    """The same by folded child, those that only differ in case joined; refuses circles."""
    folded: dict[str, tuple[str, ...]] = {}
    for child, above in parents.items():
        if isinstance(above, str):
            raise TypeError(f"{who}: parents of {child!r} must be a tuple of names, got {above!r}")
        names = (clean_text(each.replace("_", " ")) for each in above)
        folded[_key(child)] = (*folded.get(_key(child), ()), *names)
    try:
        TopologicalSorter({child: map(_key, above) for child, above in folded.items()}).prepare()
    except CycleError as error:
        circle = " < ".join(map(repr, reversed(error.args[1])))
        raise ValueError(f"{who}: no name must be a kind of itself, got {circle}") from error
    return folded


def _climb(
    who: str, name: str, folded: dict[str, tuple[str, ...]], levels: int | None
) -> tuple[str, ...]:
    if levels is not None and levels < 1:
        raise ValueError(f"{who}: levels must be at least 1 or None, got {levels}")
    if _key(name) not in folded:
        is_root = any(_key(name) == _key(each) for above in folded.values() for each in above)
        if is_root:
            return ()
        raise ValueError(
            f"{who}: each class must be among the children, got {name!r} "
            f"(add a line: {name}, TAB, what it is a kind of)"
        )
    found: dict[str, str] = {}
    level, n_steps = [name], 0
    while level and (levels is None or n_steps < levels):
        above = [each for one in level for each in folded.get(_key(one), ())]
        level = list({_key(each): each for each in above if _key(each) not in found}.values())
        found.update((_key(each), each) for each in level)
        n_steps += 1
    return tuple(found.values())
