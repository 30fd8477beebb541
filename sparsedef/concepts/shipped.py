"""The concept lists that come with the package."""

from __future__ import annotations

import difflib
from pathlib import Path

from sparsedef.concepts.concept import ConceptList

SHIPPED = Path(__file__).parent / "shipped"


def shipped_lists() -> tuple[str, ...]:
    """Names the lists that :func:`load_concepts` knows.

    Example:
        >>> shipped_lists()
        ('cifar10', 'imagewoof', 'shapeworld', 'shapeworld-context', 'shapeworld-rich')
    """
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.json")))


def load_concepts(name: str) -> ConceptList:
    """Loads a concept list that was written for this package.

    - ``"shapeworld"``: some dozens of phrases about its 8 shapes and 3 fills.
    - ``"shapeworld-rich"``: some hundreds, with those first; many say the same in other words.
    - ``"shapeworld-context"``: what is irrelevant there: weather, light, colours, backgrounds;
      for baselines and measurements, not for a defense.
    - ``"cifar10"``, ``"imagewoof"``: visual features and superclasses of each of ten classes.

    No list contains the name of a class, nor (but ``"shapeworld-context"``) a word of
    :func:`context_words`.

    Args:
        name: One of :func:`shipped_lists`.

    Returns:
        The concepts; each names the classes it is about, as the data set calls them.

    Raises:
        ValueError: There is no such list.

    Example:
        >>> concepts = load_concepts("shapeworld")
        >>> concepts.of_class("striped star").texts[:2]
        ('five pointed tips', 'five sharp corners')
    """
    known = shipped_lists()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" ({close[0]}?)" if close else " (read_concepts reads a file of your own)"
        raise ValueError(f"load_concepts: name must be one of {list(known)}, got {name!r}{hint}")
    return ConceptList.load(SHIPPED / f"{name}.json")
