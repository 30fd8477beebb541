"""What a phrase speaks of, judged by its words alone: classes and context."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from sparsedef.concepts.concept import fold

CONTEXT_FILE = Path(__file__).parent / "context_words.json"
USUAL_GROUPS = ("weather", "light", "time", "season", "place")


def context_words(*groups: str) -> tuple[str, ...]:
    """Gives words and short phrases that speak of what is around a thing, not of the thing.

    Args:
        groups: Of ``"weather"``, ``"light"``, ``"time"``, ``"season"``, ``"place"`` and
            ``"colour"``; none for all but ``"colour"``, which tells many things apart.

    Raises:
        ValueError: There is no such group.

    Example:
        >>> "snow" in context_words(), "red" in context_words(), "red" in context_words("colour")
        (True, False, True)
    """
    found: dict[str, list[str]] = json.loads(CONTEXT_FILE.read_text(encoding="utf-8"))
    for group in groups:
        if group not in found:
            raise ValueError(f"context_words: groups must be of {list(found)}, got {group!r}")
    return tuple(word for group in groups or USUAL_GROUPS for word in found[group])


class Phrases:
    """Some words and phrases, to be found in texts as whole words.

    Case and a plural's s do not matter. With ``splits_hyphens`` the parts of a word with hyphens
    are words too: "star-shaped" contains "star"; without, "snow-white" does not contain "snow".

    Args:
        phrases: In the order in which they are preferred.
        splits_hyphens: As above.

    Example:
        >>> Phrases(["golden retriever", "star"], splits_hyphens=True).find_in("star-shaped ears")
        'star'
    """

    def __init__(self, phrases: Iterable[str], *, splits_hyphens: bool) -> None:
        """Files the phrases under their first words; see the class."""
        self._word = re.compile(r"\w+" if splits_hyphens else r"\w[\w-]*")
        self._by_first: dict[str, list[tuple[int, list[str], str]]] = {}
        for place, phrase in enumerate(phrases):
            words = self._words(phrase)
            if words:
                self._by_first.setdefault(words[0], []).append((place, words, phrase))

    def find_in(self, text: str) -> str | None:
        """Gives the first of the phrases that ``text`` contains, or ``None``."""
        words = self._words(text)
        found = [
            (place, phrase)
            for i, word in enumerate(words)
            for place, wanted, phrase in self._by_first.get(word, ())
            if words[i : i + len(wanted)] == wanted
        ]
        return min(found)[1] if found else None

    def _words(self, text: str) -> list[str]:
        return [_singular(word) for word in self._word.findall(fold(text.replace("_", " ")))]


def _singular(word: str) -> str:
    """Takes a plural's ending off, roughly: both sides of a comparison go through it."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
