"""Writes README's table of defenses from the JSON of ``sparsedef demo``; nobody types a number.

``python -m benchmarks.report_demo benchmarks/results/demo.json --readme README.md``
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.document import flags_and_versions, grid, put
from sparsedef.evaluation.rows import (
    UNBOUNDED,
    Row,
    clean_row,
    describe_strength,
    gray_box_worst_cases,
    worst_cases,
)
from sparsedef.evaluation.threats import WORST_CASE

BEGIN, END = "<!-- demo:begin -->", "<!-- demo:end -->"
NORMS = {"linf": "L-infinity", "l2": "L2, relative to the images' mean norm"}


def render(results: dict[str, Any]) -> str:
    """Turns a demo's result file into Markdown: a table per task and norm, flags, versions."""
    rows = [Row.from_json(row) for row in results["rows"]]
    rows = [row for row in rows if row.threat_model != WORST_CASE and row.check != UNBOUNDED]
    everything, flattering = worst_cases(rows), gray_box_worst_cases(rows)
    parts = []
    for task, norm in dict.fromkeys((row.task, row.norm) for row in everything):
        own = [row for row in everything if (row.task, row.norm) == (task, norm)]
        strengths = sorted({row.strength for row in own})
        names = [describe_strength(norm, strength) for strength in strengths]
        lines = []
        for defense in dict.fromkeys(row.defense for row in own):
            lines.append(_line(rows, own, task, defense, strengths, "all, worst case"))
        gray = [row for row in flattering if (row.task, row.norm) == (task, norm)]
        for defense in dict.fromkeys(row.defense for row in gray):
            lines.append(_line(rows, gray, task, defense, strengths, "gray-box only"))
        title = f"**{task}**, {own[0].n} test images, {NORMS[norm]} (accuracy in %):"
        parts += [title, grid(["defense", "attacks", "clean", *names], lines)]
    return "\n\n".join([*parts, *flags_and_versions(results)])


def _line(
    rows: list[Row],
    found: list[Row],
    task: str,
    defense: str,
    strengths: list[float],
    attacks: str,
) -> list[str]:
    by_strength = {row.strength: row for row in found if row.defense == defense}
    cells = [_percent(by_strength.get(strength)) for strength in strengths]
    return [defense, attacks, _percent(clean_row(rows, task, defense)), *cells]


def _percent(row: Row | None) -> str:
    if row is None:
        return "-"
    low, high = row.interval
    return f"{100 * row.accuracy:.0f} [{100 * low:.0f} to {100 * high:.0f}]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table, or writes it to ``--readme``."""
    parser = argparse.ArgumentParser(description="Turns the demo's JSON into Markdown tables.")
    parser.add_argument("results", type=Path)
    parser.add_argument("--readme", type=Path, help="document with the markers")
    chosen = parser.parse_args(arguments)
    table = render(json.loads(chosen.results.read_text()))
    put(table, chosen.readme, BEGIN, END)
    return 0


if __name__ == "__main__":
    sys.exit(main())
