"""Writes the tables of README from the JSON of a benchmark run; nobody types a number.

``python -m benchmarks.report benchmarks/results/cpu.json --readme README.md`` replaces what
stands between the two markers; ``--check`` only says whether it is up to date.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import report_dictionary, report_lasso, report_omp

MISSED = re.compile(
    r"(not timed: p99 of the relative duality gap )([^ ,]+), (not [^ ,]+)(, given up)?.*"
)
MEMORY_TITLE = "**Memory of one cold `lasso` call beyond what was there before it**"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
PARTS = {
    "lasso": ("LASSO, float32, to a relative duality gap of 1e-5", report_lasso.render),
    "omp": ("Matching pursuit, float32, both selection rules", report_omp.render),
    "patches": ("Images by patches, float32", report_omp.render_patches),
    "dictionary": ("Dictionary learning, float32", report_dictionary.render),
}


def render(results: dict[str, Any]) -> str:
    """Turns one result file into Markdown: a header line, the tables of each op, and the notes."""
    rows = [row for row in results["rows"] if row.get("kind") != "memory"]
    memory = [row for row in results["rows"] if row.get("kind") == "memory"]
    parts = [_header(results)]
    for op, (title, render_part) in PARTS.items():
        own = [row for row in rows if row["op"] == op]
        if own:
            parts += [f"**{title}**", render_part(own)]
    if memory:
        parts += [MEMORY_TITLE, report_lasso.describe_memory(memory)]
    notes = _notes(rows)
    if notes:
        fold = "<details><summary>Not in the race, and why</summary>"
        parts.append("\n".join([fold, "", *notes, "", "</details>"]))
    return "\n\n".join(parts)


def _header(results: dict[str, Any]) -> str:
    info, commit = results["machine_info"], results["commit_info"]
    versions = ", ".join(f"{name} {v}" for name, v in info["versions"].items() if v)
    changed = " with local changes" if commit["dirty"] else ""
    installed = commit.get("installed")
    timed = f"sparsedef {installed} as installed, benchmarks of " if installed else ""
    threads = info["threads"]
    counts = " and ".join(map(str, threads)) if isinstance(threads, list) else threads
    return (
        f"{info['processor']}, {counts} of {info['cores']} cores for everybody, on"
        f" {info['device'].upper()}; {versions}; {timed}commit {commit['id'][:12]}{changed},"
        f" {results['datetime'][:10]}. Median milliseconds per call, contestants in turns."
        " Ratio: fastest peer / sparsedef; above 1 sparsedef is faster."
    )


def _notes(rows: list[dict[str, Any]]) -> list[str]:
    """One line per contestant and note, with the problems that it stands for."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        for name, note in row["notes"].items():
            found.setdefault((name, note), []).append(row)
    found = _merge_gaps(found)
    return [f"- {name}: {note} ({_where(own)})" for (name, note), own in found.items()]


def _merge_gaps(
    found: dict[tuple[str, str], list[dict[str, Any]]],
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Joins the notes of a contestant that differ in the gap it was left with."""
    merged: dict[tuple[str, str], list[tuple[float, list[dict[str, Any]]]]] = {}
    for (name, note), rows in found.items():
        missed = MISSED.fullmatch(note)
        gap, text = 0.0, note
        if missed:
            gap, text = float(missed[2]), f"{missed[1]}%s, {missed[3]}{missed[4] or ''}"
        merged.setdefault((name, text), []).append((gap, rows))
    joined = {}
    for (name, text), parts in merged.items():
        low, high = min(gap for gap, _ in parts), max(gap for gap, _ in parts)
        span = f"{low:.1e}" if low == high else f"{low:.1e} to {high:.1e}"
        joined[name, text.replace("%s", span)] = [row for _, rows in parts for row in rows]
    return joined


def _where(rows: list[dict[str, Any]]) -> str:
    """The problems, each once for all thread counts, those that differ in B alone together."""
    batches: dict[str, list[int]] = {}
    for row in {row["problem"]: row for row in rows}.values():
        batch = row["n_signals"]
        name = re.sub(rf" B{batch}(?= |$)", " B%s", row["problem"])
        batches.setdefault(name, []).append(batch)
    return "; ".join(
        name.replace("%s", ",".join(map(str, sorted(sizes)))) for name, sizes in batches.items()
    )


def insert(document: str, table: str, begin: str = BEGIN, end: str = END) -> str:
    """Puts ``table`` between the markers of ``document``.

    Raises:
        ValueError: The markers are not there, once each and in order.
    """
    if document.count(begin) != 1 or document.count(end) != 1:
        raise ValueError(f"report: the document must hold {begin} and {end} once each")
    before, rest = document.split(begin)
    if end not in rest:
        raise ValueError(f"report: {begin} must stand before {end}")
    return f"{before}{begin}\n{table}\n{end}{rest.split(end)[1]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables, or writes them to ``--readme``, or checks it."""
    parser = argparse.ArgumentParser(description="Turns benchmark JSON into Markdown tables.")
    parser.add_argument("results", type=Path)
    parser.add_argument("--readme", type=Path, help="document with the markers")
    parser.add_argument("--check", action="store_true", help="fail if the document is out of date")
    chosen = parser.parse_args(arguments)
    table = render(json.loads(chosen.results.read_text()))
    if chosen.readme is None:
        print(table)
        return 0
    old = chosen.readme.read_text()
    new = insert(old, table)
    if chosen.check:
        print("up to date" if new == old else "out of date: run python -m benchmarks.report")
        return int(new != old)
    chosen.readme.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
