"""Writes the tables of README from the JSON of a benchmark run; nobody types a number.

``python -m benchmarks.report benchmarks/results/cpu.json --readme README.md`` replaces what
stands between the two markers; ``--check`` only says whether it is up to date.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
TITLES = {
    "lasso": "LASSO, float32, to a relative duality gap of 1e-5",
    "omp": "Matching pursuit, float32, each rule against peers of the same rule (SPAMS: ols)",
}


def render(results: dict[str, Any]) -> str:
    """Turns one result file into Markdown: a header line, one table per op, and the notes."""
    parts = [_header(results)]
    for op, title in TITLES.items():
        rows = [row for row in results["rows"] if row["op"] == op]
        if rows:
            parts.append("\n".join([f"**{title}**", "", *_table(rows)]))
    notes = _notes(results["rows"])
    if notes:
        parts.append("\n".join(["Not in the race:", "", *notes]))
    return "\n\n".join(parts)


def _header(results: dict[str, Any]) -> str:
    info, commit = results["machine_info"], results["commit_info"]
    versions = ", ".join(f"{name} {v}" for name, v in info["versions"].items() if v)
    changed = " with local changes" if commit["dirty"] else ""
    return (
        f"{info['processor']}, {info['threads']} of {info['cores']} cores for everybody, on"
        f" {info['device'].upper()}; {versions}; commit {commit['id'][:12]}{changed},"
        f" {results['datetime'][:10]}. Median milliseconds per call [quartiles], contestants in"
        " turns. Ratio: fastest peer / sparsedef; above 1 sparsedef is faster."
    )


def _table(rows: list[dict[str, Any]]) -> list[str]:
    measure = rows[0]["ours"]["measure"]
    lines = [
        f"| problem | sparsedef | fastest peer | ratio | other peers | {measure}: ours / peer |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ours, peers = row["ours"], row["peers"]
        best = peers[0] if peers else None
        cells = [
            row["problem"].replace("|", " "),
            f"{_time(ours)} ({ours['backend']})",
            f"{best['name']} {_time(best)}" if best else "none",
            _ratio(ours, best),
            ", ".join(f"{peer['name']} {_number(peer['median_ms'])}" for peer in peers[1:]) or "-",
            f"{_quality(ours)} / {_quality(best) if best else '-'}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _ratio(ours: dict[str, Any], best: dict[str, Any] | None) -> str:
    if best is None:
        return "-"
    ratio = best["median_ms"] / ours["median_ms"]
    return f"**{ratio:.1f}**" if ratio >= 1 else f"{ratio:.2f} (slower)"


def _time(row: dict[str, Any]) -> str:
    spread = f"{_number(row['q1_ms'])} to {_number(row['q3_ms'])}"
    return f"{_number(row['median_ms'])} [{spread}]"


def _number(value: float) -> str:
    """Three significant digits, without exponents."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _quality(row: dict[str, Any]) -> str:
    return f"{row['value']:.0e}" if row["measure"] == "p99 gap" else f"{row['value']:.1%}"


def _notes(rows: list[dict[str, Any]]) -> list[str]:
    """One line per contestant and note, with the problems that it stands for."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, note in row["notes"].items():
            found.setdefault((name, note), []).append(row["problem"])
    return [f"- {name}: {note} ({'; '.join(where)})" for (name, note), where in found.items()]


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
