"""One self-contained HTML page from a robustness table, its pictures and its flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sparsedef.evaluation.curves import Curve, draw_curves
from sparsedef.evaluation.flags import Flag
from sparsedef.evaluation.reading import Reading
from sparsedef.evaluation.rows import (
    ADAPTIVE,
    ADAPTIVE_IDENTITY,
    ADAPTIVE_WARM,
    CLEAN,
    GRAY_BOX,
    THREAT_MODELS,
    WHITE_BOX,
    WORST_CASE,
    Row,
    describe_strength,
)
from sparsedef.evaluation.table import Section

STYLES = {
    WHITE_BOX: "bare",
    GRAY_BOX: "gray",
    ADAPTIVE: "adaptive",
    ADAPTIVE_WARM: "warm",
    ADAPTIVE_IDENTITY: "identity",
    WORST_CASE: "worst",
}


@dataclass(frozen=True)
class Figure:
    """A picture with its caption.

    Args:
        uri: ``data:`` address.
        caption: What it is.
        verdict: The class it was given, if it was classified.
        is_right: Whether that is the true class.
        box: A box drawn over it: left, top, width, height in percent.
        kind: ``"pixel"`` for small images shown with sharp pixels, ``"mosaic"`` for wide ones of
            that sort, ``"photo"`` for large ones.
    """

    uri: str
    caption: str
    verdict: str = ""
    is_right: bool = True
    box: tuple[float, float, float, float] | None = None
    kind: str = "pixel"


@dataclass(frozen=True)
class Strip:
    """Figures that belong together."""

    title: str
    figures: Sequence[Figure]
    note: str = ""


@dataclass(frozen=True)
class Panel:
    """A chart with its title; ``svg`` is markup of our own making."""

    title: str
    svg: str


@dataclass(frozen=True)
class TaskReport:
    """All that the page says about one task."""

    name: str
    source: str
    facts: Sequence[tuple[str, str]]
    reading: Reading
    sections: Sequence[Section]
    panels: Sequence[Panel]
    samples: Sequence[Strip]
    strips: Sequence[Strip] = ()


@dataclass(frozen=True)
class Report:
    """The page.

    Args:
        title: Heading.
        lead: First paragraphs.
        tasks: One part each.
        flags: Findings of the sanity checks.
        n_checked: Number of rows that the checks looked at.
        details: Titled lists of name and value: settings, versions, seeds, sample ids.
        caveats: What the numbers do not say.
    """

    title: str
    lead: Sequence[str]
    tasks: Sequence[TaskReport]
    flags: Sequence[Flag]
    n_checked: int
    details: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    caveats: Sequence[str] = field(default_factory=tuple)


def chart(rows: list[Row], title: str, defense: str, attack: str, norm: str) -> Panel | None:
    """Draws one attack's curves: no defense, gray-box, adaptive; empty ``attack``: worst cases.

    Returns:
        ``None`` if the table has no such rows.
    """
    task_rows = [r for r in rows if not r.is_sanity]
    clean = {r.defense: r for r in task_rows if r.threat_model == CLEAN}
    found = [
        r
        for r in task_rows
        if r.norm == norm
        and r.attack == attack
        and r.threat_model != CLEAN
        and r.defense in ("none", defense)
    ]
    if not found:
        return None
    strengths = sorted({row.strength for row in found})
    curves = []
    for threat, owner in dict.fromkeys((row.threat_model, row.defense) for row in found):
        by_strength = {
            r.strength: r for r in found if (r.threat_model, r.defense) == (threat, owner)
        }
        chosen = [clean.get(owner), *(by_strength.get(s) for s in strengths)]
        points = tuple(None if r is None else (r.accuracy, *r.interval) for r in chosen)
        label = "no defense" if owner == "none" else f"{owner}, {threat}"
        style = "bare" if owner == "none" else STYLES[threat]
        curves.append(Curve(label, style, points))
    ticks = ["clean", *(describe_strength(norm, s) for s in strengths)]
    x_title = "L∞ radius" if norm == "linf" else "L2 radius / image norm"
    return Panel(title, draw_curves(curves, ticks, x_title=x_title, label=title))


def render(report: Report) -> str:
    """Writes the page; it refers to nothing outside itself.

    Raises:
        ImportError: Jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise ImportError("render: Jinja2 is not installed (pip install jinja2)") from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sparsedef.evaluation", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}"
    environment.filters["radius"] = lambda row: describe_strength(row.norm, row.strength)
    return environment.get_template("report.html.j2").render(
        report=report, styles=STYLES, threat_models=THREAT_MODELS
    )
