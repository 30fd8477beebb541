"""Writes README's table of the four systems: each beside its plainest rivals, in the worst case.

``python -m benchmarks.report_systems benchmarks/results --readme README.md``
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.document import grid, put
from sparsedef.evaluation.metrics import Difference, paired_difference
from sparsedef.evaluation.threats import CLEAN, WORST_CASE
from sparsedef.reproduce.layout import points

BEGIN, END = "<!-- systems:begin -->", "<!-- systems:end -->"
NOTE = (
    "Accuracy in %, without and under attack, each beside its plainest rival on the same images. "
    "Attacked: an image counts as wrong if any attack fooled the system, those that know and "
    "differentiate all of it included. Difference: under attack, in points, with the 95 % interval "
    "for pairs. Small networks on small images: trends, not records."
)


@dataclass(frozen=True)
class System:
    """One line.

    Args:
        title: Of the system.
        document: What says more.
        results: Name of the result file.
        task: On what.
        defense: Its name there.
        rival: Name of the rival.
        about: What the rival is.
        threat: What the attacks may do.
        norm: Of the attacks.
        strength: Of the attacks; ``None`` where edits have none.
    """

    title: str
    document: str
    results: str
    task: str
    defense: str
    rival: str
    about: str
    threat: str
    norm: str = "linf"
    strength: float | None = None

    def line(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        """Writes it from the rows of its result file."""
        (clean, worst), (rival_clean, rival_worst) = (
            tuple(self._find(rows, name, kind) for kind in (CLEAN, WORST_CASE))
            for name in (self.defense, self.rival)
        )
        difference: Difference = paired_difference(worst["correct"], rival_worst["correct"])
        return [
            f"[{self.title}]({self.document})", self.about,
            f"{worst['n']} of {self.task.partition(',')[0]}", self.threat,
            f"{_percent(clean)}, {_percent(rival_clean)}",
            f"**{_percent(worst)}**, {_percent(rival_worst)}", points(difference),
        ]  # fmt: skip

    def _find(self, rows: Sequence[dict[str, Any]], defense: str, kind: str) -> dict[str, Any]:
        found = [
            row for row in rows
            if (row["task"], row["defense"], row["threat_model"]) == (self.task, defense, kind)
            and (kind == CLEAN or self._is_of(row))
        ]  # fmt: skip
        assert len(found) == 1, f"{self.results}: {len(found)} rows {kind} of {defense}"
        return found[0]

    def _is_of(self, row: dict[str, Any]) -> bool:
        if row["norm"] != self.norm:
            return False
        return self.strength is None or abs(row["strength"] - self.strength) < 1e-6


SYSTEMS = (
    System(
        "RegionSparse", "docs/regionsparse.md", "regionsparse-table2", "digits", "regionsparse",
        "none", "no defense", "L-inf 14/255", strength=14 / 255,
    ),
    System(
        "RegionSparse", "docs/regionsparse.md", "regionsparse-table2", "digits", "regionsparse",
        "fgsm_at", "adversarial training (FGSM) alone", "L-inf 14/255", strength=14 / 255,
    ),
    System(
        "SSD", "docs/ssd.md", "ssd", "shapeworld, clean heads", "ssd", "dense_concepts",
        "a dense head on the same concepts", "visible edits of the scene", norm="semantic",
    ),
    System(
        "LAAT", "docs/laat.md", "laat", "shapeworld, unseen classes, 5-way, AutoAttack",
        "laat", "raw anchors", "anchors not expanded", "AutoAttack, L-inf 4/255",
        strength=4 / 255,
    ),
    System(
        "CARSO", "docs/carso.md", "carso-digits", "digits", "carso", "none",
        "its adversarially trained base alone", "L-inf 16/255", strength=16 / 255,
    ),
    System(
        "CARSO", "docs/carso.md", "carso-shapeworld", "shapeworld", "carso", "none",
        "its adversarially trained base alone", "L-inf 8/255", strength=8 / 255,
    ),
)  # fmt: skip


def render(folder: Path) -> str:
    """Turns the result files of ``folder`` into Markdown."""
    lines = [
        each.line(json.loads((folder / f"{each.results}.json").read_text())["rows"])
        for each in SYSTEMS
    ]
    head = ["system", "beside", "images", "attacks", "clean: it, rival", "attacked: it, rival",
            "difference"]  # fmt: skip
    return f"{grid(head, lines)}\n\n{NOTE}"


def _percent(row: dict[str, Any]) -> str:
    return f"{100 * row['accuracy']:.0f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table, or writes it between the markers of ``--readme``."""
    parser = argparse.ArgumentParser(description="Turns results into the table of the systems.")
    parser.add_argument("folder", type=Path, help="with the result files")
    parser.add_argument("--readme", type=Path, help="with the markers")
    chosen = parser.parse_args(arguments)
    put(render(chosen.folder), chosen.readme, BEGIN, END)
    return 0


if __name__ == "__main__":
    sys.exit(main())
