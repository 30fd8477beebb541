"""Writes a paper's tables into its document from the JSON of ``sparsedef reproduce``.

``python -m benchmarks.report_paper regionsparse RESULTS.json ... --document docs/regionsparse.md``
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.document import grid, put
from sparsedef.evaluation.flags import Flag, told_once

TABLES = {"laat": 4, "carso": 6}  # how many of the first a document shows, where a page has many


def markers(paper: str) -> tuple[str, str]:
    """What stands before and after the tables in a document."""
    return f"<!-- {paper}:begin -->", f"<!-- {paper}:end -->"


def render(results: dict[str, Any]) -> str:
    """Turns one result file into Markdown: its tables, what the checks found, versions."""
    parts = [f"### {results['title']}"]
    alike: dict[str, list[str]] = {}
    for task, found in results["tasks"].items():
        facts = "; ".join(f"{name}: {value}" for name, value in found["facts"].items())
        told = f"{len(found['sample_ids'])} images" + (f" ({facts})" if facts else "")
        alike.setdefault(told, []).append(task)
    parts += [f"{'; '.join(tasks)}: {told}." for told, tasks in alike.items()]
    paper = results["settings"].get("paper", "")
    for table in results["tables"][: TABLES.get(paper)]:
        parts.append(f"**{table['title']}**\n\n{grid(table['head'], table['lines'])}")
    told = told_once([Flag(**flag) for flag in results["flags"]])
    flags = [
        f"- {'serious' if flag.is_serious else 'note'}, {flag.code}: {flag.task}, "
        f"{flag.defense}: {flag.message}." for flag in told
    ]  # fmt: skip
    parts.append("\n".join(["Flags:", "", *(flags or ["- none"])]))
    settings = ", ".join(f"{name} {value}" for name, value in results["settings"].items())
    versions = ", ".join(f"{name} {value}" for name, value in results["versions"].items())
    parts.append(f"Settings: {settings}. Versions: {versions}.")
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables, or writes them between the markers of ``--document``."""
    parser = argparse.ArgumentParser(description="Turns a paper's results into Markdown.")
    parser.add_argument("paper", help="as in sparsedef reproduce PAPER")
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--document", type=Path, help="with the markers")
    chosen = parser.parse_args(arguments)
    text = "\n\n".join(render(json.loads(path.read_text())) for path in chosen.results)
    put(text, chosen.document, *markers(chosen.paper))
    return 0


if __name__ == "__main__":
    sys.exit(main())
