"""A language model's answer, read as a list of phrases."""

from __future__ import annotations

import json
import re

from sparsedef.concepts.concept import clean_text

THOUGHT = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL | re.IGNORECASE)
FENCE = re.compile(r"^\s*```.*$", re.MULTILINE)
MARKER = re.compile(  # bullets, numbers, letters
    r"^\s*(?:[-*+\u2022\u2023\u25aa\u25e6\u2013]\s+|\(?\d{1,3}[.):]\s*|[a-z][.)]\s+)"
)
AFTER = re.compile(r"(?::\s|\s[-\u2013\u2014]\s).*$")  # an explanation behind the phrase
ASIDE = re.compile(r"\s*\([^)]*\)")
QUOTED = re.compile(r'"((?:[^"\\\n]|\\.)*)"(?!\s*:)')  # a string of JSON that is no key
REFUSAL = re.compile(
    r"^(?:i|i'm|i am|i'd|sorry|unfortunately|as an ai)\b|^(?:none|n/a|nothing)$", re.IGNORECASE
)
EDGES = " \t\"'`*_[]{}\u201c\u201d\u2018\u2019.,;:"


def parse_answer(answer: str, *, is_cut: bool = False) -> tuple[str, ...]:
    r"""Reads the phrases of a list, however a language model wrote it.

    Understands JSON (a list of strings, or an object whose lists they are), lines with bullets or
    numbers, plain lines, and one line with commas; in Markdown or not. Thoughts in ``<think>``
    tags, introductions, explanations after a colon or a dash, asides in brackets and refusals are
    left out.

    Args:
        answer: What the model wrote.
        is_cut: The model was stopped by a limit: the last phrase may lack its end and is left out.

    Returns:
        The phrases, each once; empty if there is no list.

    Example:
        >>> parse_answer("Sure, here they are:\n1. **Long tail**: it is striped\n2. Whiskers.")
        ('Long tail', 'Whiskers')
        >>> parse_answer("a beak, two wings, and feathers")
        ('a beak', 'two wings', 'feathers')
    """
    text = FENCE.sub("", THOUGHT.sub("", answer)).replace("\u2019", "'").replace("**", "")
    phrases = _from_json(text)
    if phrases is None:
        phrases = _from_lines([line for line in text.splitlines() if line.strip()])
    if is_cut:
        phrases = phrases[:-1]
    found: dict[str, str] = {}
    for phrase in map(_clean, phrases):
        if phrase and not REFUSAL.search(phrase):
            found.setdefault(phrase.casefold(), phrase)
    return tuple(found.values())


def _from_json(text: str) -> list[str] | None:
    """The strings of the outermost list or object in ``text``, whole or not, if it holds one."""
    for opening, closing in ("[]", "{}"):
        start, end = text.find(opening), text.rfind(closing)
        if not 0 <= start < end:
            continue
        try:
            found = json.loads(text[start : end + 1])
        except json.JSONDecodeError:
            continue
        strings = _strings(found)
        if strings:
            return strings
    is_broken = text.lstrip().startswith(("[", "{"))
    return QUOTED.findall(text) or None if is_broken else None


def _strings(found: object) -> list[str]:
    """A list's strings; of an object its lists, or else its first string."""
    if isinstance(found, str):
        return [found]
    parts = found if isinstance(found, list) else []
    if isinstance(found, dict):
        parts = [value for value in found.values() if isinstance(value, list)]
        parts = parts or [value for value in found.values() if isinstance(value, str)][:1]
    return [each for part in parts for each in _strings(part)]


def _from_lines(lines: list[str]) -> list[str]:
    marked = [line for line in lines if MARKER.match(line)]
    if marked:
        return [MARKER.sub("", line) for line in marked]
    plain = [line for line in lines if not line.rstrip().endswith((":", "!", "?"))]
    if len(plain) != 1:
        return [line for line in plain if not _is_sentence(line)]
    parts = re.split(r"[,;]\s*(?:and\s+|or\s+)?", plain[0])
    if len(parts) > 1 and not REFUSAL.search(parts[0].strip()):
        return parts
    return [] if _is_sentence(plain[0]) else plain


def _is_sentence(line: str) -> bool:
    """Whether a plain line is talk and not a phrase: it ends as sentences do, and is long."""
    return line.rstrip().endswith(".") and len(line.split()) > 8


def _clean(phrase: str) -> str:
    return clean_text(AFTER.sub("", ASIDE.sub("", phrase))).strip(EDGES)
