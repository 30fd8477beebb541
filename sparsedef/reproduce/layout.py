"""Papers' tables and figures, filled with what was measured here: gray-box and adaptive beside."""

from __future__ import annotations

from collections.abc import Sequence

from sparsedef.evaluation import Evaluation
from sparsedef.evaluation.metrics import Difference, wilson_interval
from sparsedef.evaluation.report import PaperTable
from sparsedef.evaluation.rows import Row, clean_row, describe_strength, pointwise
from sparsedef.evaluation.table import mark
from sparsedef.evaluation.threats import (
    BPDA,
    GRAY_BOX,
    SCORES,
    TRANSFER,
    UNDEFENDED,
    WHITE_BOX,
    kind_of,
)

ADAPTIVE = (WHITE_BOX, BPDA, UNDEFENDED, SCORES)


def accuracy(rows: Sequence[Row]) -> str:
    """Writes the share that every one of ``rows`` leaves right, in percent, and its 95% interval.

    ``-`` for no row.
    """
    if not rows:
        return "-"
    outcome = pointwise(row.correct for row in rows)
    right, total = outcome.count("1"), len(outcome)
    low, high = wilson_interval(right, total)
    return f"{100 * right / total:.0f} [{100 * low:.0f}-{100 * high:.0f}]"


def cells(
    found: Evaluation,
    name: str,
    attack: str,
    norm: str,
    strengths: Sequence[float],
    kinds: Sequence[str],
    *,
    source: str | None = None,
) -> list[str]:
    """Accuracies of one contender under one attack, a cell per strength.

    Args:
        found: What was measured.
        name: Contender.
        attack: Name in ``ATTACKS``; its variants count together, image by image.
        norm: Of the strengths.
        strengths: Columns.
        kinds: Threat models that count, by their kinds.
        source: Only what was made on this contender.
    """
    here = [
        r for r in found.rows
        if r.defense == name and r.norm == norm and not r.check
        and (r.attack == attack or r.attack.startswith(f"{attack}-"))
        and kind_of(r.threat_model) in kinds and source in (None, r.source)
    ]  # fmt: skip
    return [accuracy([r for r in here if r.strength == strength]) for strength in strengths]


def clean_cell(found: Evaluation, name: str) -> str:
    """Clean accuracy of one contender, in percent, and its 95% interval."""
    return accuracy([clean_row(found.rows, found.task.name, name)])


def one_by_one(found: Evaluation, name: str, norm: str = "linf") -> PaperTable:
    """Lists what each attacker who knows the defense leaves right, a line each, the worst last.

    Args:
        found: What was measured.
        name: Contender.
        norm: Of the attacks.
    """
    own = [r for r in found.rows if (r.defense, r.norm, r.check) == (name, norm, "")]
    own = [r for r in own if kind_of(r.threat_model) in ADAPTIVE]
    strengths = sorted({r.strength for r in own})
    lines = []
    for attack, threat in dict.fromkeys((r.attack, r.threat_model) for r in own):
        these = [r for r in own if (r.attack, r.threat_model) == (attack, threat)]
        shown = [accuracy([r for r in these if r.strength == s]) for s in strengths]
        lines.append([attack, threat, *shown])
    worst = [accuracy([r for r in own if r.strength == s]) for s in strengths]
    lines.append(["any of them", "", *worst])
    ticks = [describe_strength(norm, s) for s in strengths]
    title = f"{name} against attackers who know it, {mark(norm)}, {found.task.name}"
    return PaperTable(title, ["attack", "what it differentiates", *ticks], lines)


def figure(
    found: Evaluation,
    title: str,
    names: Sequence[str],
    attack: str,
    norm: str,
    strengths: Sequence[float],
    kind: str = GRAY_BOX,
    *,
    source: str | None = None,
    note: str = "",
) -> PaperTable:
    """Writes one panel of a figure as a table: a line a method, accuracies over the strengths.

    Each method gets two lines: what the paper shows (``kind``), and the adaptive attack, which it
    does not.
    """
    lines = []
    for name in names:
        shown = UNDEFENDED if name == "none" else kind
        first = cells(found, name, attack, norm, strengths, (shown,), source=(
            source if shown == TRANSFER else None))  # fmt: skip
        lines.append([name, shown, clean_cell(found, name), *first])
        if name != "none":
            second = cells(found, name, attack, norm, strengths, ADAPTIVE)
            lines.append(["", "adaptive", clean_cell(found, name), *second])
    ticks = [describe_strength(norm, strength) for strength in strengths]
    return PaperTable(
        f"{title}: {attack.upper().replace('_', '-')}, {mark(norm)}, {found.task.name}",
        ["method", "attack", "clean", *ticks],
        lines,
        note,
    )


def points(found: Difference) -> str:
    """A difference in points with its interval, as ``+17 [+4 to +29]``."""
    value, low, high = (100 * each for each in found)
    return f"{value:+.0f} [{low:+.0f} to {high:+.0f}]"
