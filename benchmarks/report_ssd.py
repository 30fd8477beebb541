"""Writes SSD's tables into a document from the JSON of ``sparsedef reproduce ssd``.

``python -m benchmarks.report_ssd benchmarks/results/ssd.json --document docs/ssd.md``
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.document import flags_and_versions, grid, put
from sparsedef.evaluation.metrics import Difference
from sparsedef.evaluation.report import PaperTable
from sparsedef.evaluation.rows import Row
from sparsedef.evaluation.threats import WORST_CASE
from sparsedef.reproduce.layout import points
from sparsedef.reproduce.ssd_duel import Duel
from sparsedef.reproduce.ssd_reading import read_head
from sparsedef.reproduce.ssd_search import Condition
from sparsedef.reproduce.ssd_tables import comparison
from sparsedef.reproduce.ssd_world import Association

BEGIN, END = "<!-- ssd:begin -->", "<!-- ssd:end -->"
SHOWN = ("classifier", "clean", "named", "best of N", "ascent", "worst case")


def render(results: dict[str, Any]) -> str:
    """Turns a result file into Markdown: both comparisons, the search, flags, versions."""
    rows = [Row.from_json(row) for row in results["rows"]]
    rows = [row for row in rows if row.threat_model != WORST_CASE]
    parts = []
    for task, found in results["tasks"].items():
        head = task.removeprefix("shapeworld, ").removesuffix(" heads")
        association = Association(**found["association"])
        table = comparison(task, head, rows, association)
        share = f"{100 * association.share:.0f} % of the training scenes"
        parts.append(f"**{table.title}** ({share} in their class's favourite weather)")
        parts.append(_markdown(table))
        parts.append("\n".join(f"- {line}" for line in read_head(task, head, rows)))
    parts.append("**Sparse code against dense head on the same dictionary**, accuracy in % under "
                 "the worst of all searched edits")  # fmt: skip
    parts.append(_search(results["sparsity"]))
    return "\n\n".join([*parts, *flags_and_versions(results)])


def _markdown(table: PaperTable) -> str:
    places = [list(table.head).index(name) for name in SHOWN]
    lines = [[line[i] for i in places] for line in table.lines]
    return grid(list(SHOWN), lines)


def _search(found: dict[str, Any]) -> str:
    lines = []
    for each in found["conditions"]:
        condition = each["condition"]
        labels = f"{condition['per_class']} a class" if condition["per_class"] else "all"
        difference = Difference(each["difference"], each["ci_low"], each["ci_high"])
        lines.append([
            condition["concepts"], str(each["n_atoms"]), labels, condition["head"],
            condition["surface"], _percent(each["sparse_right"]), _percent(each["dense_right"]),
            points(difference), each["verdict"],
        ])  # fmt: skip
    head = ["concepts", "atoms", "labels", "head", "edits of", "sparse", "dense", "difference",
            "winner"]  # fmt: skip
    return "\n\n".join([grid(head, lines), *map(_duel, found["duels"])])


def _duel(found: dict[str, Any]) -> str:
    repeats = tuple(Difference(*each) for each in found["repeats"])
    condition = Condition(**found["condition"])
    return Duel(condition, found["sparse_right"], found["dense_right"], repeats).told


def _percent(outcome: str) -> str:
    return f"{100 * outcome.count('1') / len(outcome):.0f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables, or writes them between the markers of ``--document``."""
    parser = argparse.ArgumentParser(description="Turns SSD's JSON into Markdown tables.")
    parser.add_argument("results", type=Path)
    parser.add_argument("--document", type=Path, help="with the markers")
    chosen = parser.parse_args(arguments)
    table = render(json.loads(chosen.results.read_text()))
    put(table, chosen.document, BEGIN, END)
    return 0


if __name__ == "__main__":
    sys.exit(main())
