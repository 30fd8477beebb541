"""Tables in documents: Markdown, and the place between two markers where a report puts it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import insert


def grid(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Writes a Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def flags_and_versions(results: dict[str, Any]) -> list[str]:
    """Writes what the checks found, and what the numbers depend on."""
    flags = [
        f"- {flag['task']}, {flag['defense']}: {flag['message']}." for flag in results["flags"]
    ]
    versions = ", ".join(f"{name} {value}" for name, value in results["versions"].items())
    return [
        "\n".join(["Flags:", "", *(flags or ["- none"])]),
        f"Seed {results['settings']['seed']}; {versions}.",
    ]


def put(text: str, document: Path | None, begin: str, end: str) -> None:
    """Writes ``text`` between the markers of ``document``; prints it where there is none."""
    if document is None:
        print(text)
    else:
        document.write_text(insert(document.read_text(), text, begin, end))
