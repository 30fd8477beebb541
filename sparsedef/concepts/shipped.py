"""The concept lists that come with the package."""

from __future__ import annotations

import difflib
from pathlib import Path

from sparsedef.concepts.concept import ConceptList

SHIPPED = Path(__file__).parent / "shipped"


def shipped_lists() -> tuple[str, ...]:
    """Names the lists that :func:`load_concepts` knows.

    Example:
        >>> [name for name in shipped_lists() if not name.startswith("shapeworld")]
        ['cifar10', 'imagewoof']
    """
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.json")))


def load_concepts(name: str) -> ConceptList:
    """Loads a concept list that was written for this package.

    - ``"shapeworld"``: some dozens of phrases about its 8 shapes and 3 fills, many of them as its
      captions say it.
    - ``"shapeworld-rich"``: some hundreds, with those first; many say nearly the same.
    - ``"shapeworld-context"``: what is irrelevant there: weather, light, backgrounds, colours; for
      baselines and measurements, not for a defense.
    - ``"shapeworld-open"``: some hundreds in all words, for a CLIP that knows them. The three lists
      above are made of the words of ShapeWorld's captions, which are all that the small CLIP knows;
      "photo" is none of them, so take the template ``"a shape with {}"`` there.
    - ``"cifar10"``, ``"imagewoof"``: visual features and superclasses of each of ten classes.

    No list contains the name of a class, nor (but ``"shapeworld-context"``) a word of
    :func:`context_words`. A phrase may hold for more classes than those that it was written for.

    Args:
        name: One of :func:`shipped_lists`.

    Returns:
        The concepts; each names the classes it is about, as the data set calls them.

    Raises:
        ValueError: There is no such list.

    Example:
        >>> concepts = load_concepts("shapeworld")
        >>> concepts.of_class("striped star").texts[:2]
        ('five pointed tips', 'five notches')
    """
    known = shipped_lists()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" ({close[0]}?)" if close else " (read_concepts reads a file of your own)"
        raise ValueError(f"load_concepts: name must be one of {list(known)}, got {name!r}{hint}")
    return ConceptList.load(SHIPPED / f"{name}.json")
