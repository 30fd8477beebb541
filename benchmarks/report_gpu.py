"""Writes README's GPU table from the JSON of ``benchmarks/gpu.sh``; or that there is none.

``python -m benchmarks.report_gpu benchmarks/results/gpu.json --readme README.md``
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.document import grid, put

BEGIN, END = "<!-- gpu:begin -->", "<!-- gpu:end -->"
PENDING = (
    "GPU figures are pending: no run of `benchmarks/gpu.sh` on a GPU has been committed, and no "
    "speed is claimed there."
)
LIMIT = "limit"


def render(results: dict[str, Any] | None) -> str:
    """Turns a result file into Markdown; ``None`` into the sentence that there is none."""
    if results is None or results["machine_info"]["device"] == "cpu":
        return PENDING
    info, commit = results["machine_info"], results["commit_info"]
    versions = ", ".join(f"{name} {v}" for name, v in info["versions"].items() if v)
    rows = results["rows"]
    machine = [row for row in rows if row["problem"] == "machine"]
    timed = [row for row in rows if "kernel" not in row and row["problem"] != "machine"]
    rates = ", ".join(f"{row['name']} {_rate(row)}" for row in machine)
    parts = [
        f"{info['device']}; {versions}; commit {commit['id'][:12]}, {results['datetime'][:10]}. "
        f"At best here: {rates}.",
        _problems(timed),
        "Cells: median milliseconds of a warm call, and how many times the limit that is: the "
        "product `x @ dictionary.T`, for pursuits with one pass over residuals, indices and "
        "values. None was timed before its answer passed the gate in float64.",
    ]
    kernels = [row for row in rows if "kernel" in row]
    if kernels:
        parts += [
            "**Triton kernels, their fastest tile beside torch's product**",
            _kernels(kernels),
        ]
    missing = [
        f"- {row['problem']}, {row['name']}: {row['note']}" for row in timed if "note" in row
    ]
    steps = [line for line in results["steps"] if "\tstatus 0\t" not in line]
    missing += [f"- step {line.replace(chr(9), ', ')}" for line in steps]
    if missing:
        fold = "<details><summary>Not timed, or failed</summary>"
        parts.append("\n".join([fold, "", *missing, "", "</details>"]))
    return "\n\n".join(parts)


def _rate(row: dict[str, Any]) -> str:
    return f"{row['gb_per_s']:.0f} GB/s" if "gb_per_s" in row else f"{row['tflops']:.1f} TFLOP/s"


def _problems(rows: Sequence[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(row["name"] for row in rows if row["name"] != LIMIT))
    lines = []
    for problem in dict.fromkeys(row["problem"] for row in rows):
        own = {row["name"]: row for row in rows if row["problem"] == problem}
        limit = own[LIMIT]["median_ms"]
        cells = [_cell(own.get(name), limit) for name in names]
        lines.append([problem, f"{limit:.3g}", *cells])
    return grid(["problem", "limit", *names], lines)


def _cell(row: dict[str, Any] | None, limit: float) -> str:
    if row is None or "median_ms" not in row:
        return "-"
    return f"{row['median_ms']:.3g} ({row['median_ms'] / limit:.2g} x)"


def _kernels(rows: Sequence[dict[str, Any]]) -> str:
    lines = []
    for problem, kernel in dict.fromkeys((row["problem"], row["kernel"]) for row in rows):
        own = [row for row in rows if (row["problem"], row["kernel"]) == (problem, kernel)]
        ours = [row for row in own if row["name"] != "torch"]
        theirs = next((f"{row['tflops']:.3g}" for row in own if row["name"] == "torch"), "-")
        if ours:
            best = max(ours, key=lambda row: row["tflops"])
            lines.append([problem, kernel, best["name"], f"{best['tflops']:.3g}", theirs])
    return grid(["problem", "kernel", "fastest tile", "TFLOP/s", "torch, TFLOP/s"], lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table, or writes it between the markers of ``--readme``."""
    parser = argparse.ArgumentParser(description="Turns the GPU run's JSON into a Markdown table.")
    parser.add_argument("results", type=Path, help="need not be there")
    parser.add_argument("--readme", type=Path, help="with the markers")
    chosen = parser.parse_args(arguments)
    found = json.loads(chosen.results.read_text()) if chosen.results.is_file() else None
    put(render(found), chosen.readme, BEGIN, END)
    return 0


if __name__ == "__main__":
    sys.exit(main())
