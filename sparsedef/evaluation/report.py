"""One self-contained HTML page from a robustness table, its pictures and its flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sparsedef.evaluation.curves import Curve, draw_curves
from sparsedef.evaluation.flags import Flag
from sparsedef.evaluation.reading import Reading
from sparsedef.evaluation.rows import UNBOUNDED, Row, describe_strength
from sparsedef.evaluation.table import Section, mark, norm_title
from sparsedef.evaluation.threats import (
    BPDA,
    CLEAN,
    GRAY_BOX,
    IDENTITY,
    SCORES,
    TRANSFER,
    UNDEFENDED,
    WARM,
    WHITE_BOX,
    WORST_CASE,
    describe,
    kind_of,
    variants_of,
)

STYLES = {
    UNDEFENDED: "bare",
    GRAY_BOX: "gray",
    TRANSFER: "transfer",
    WHITE_BOX: "adaptive",
    BPDA: "adaptive",
    SCORES: "scores",
    WORST_CASE: "worst",
}
N_COLOURS = 8  # of curves that are told apart by classifier


def style_of(threat: str) -> str:
    """Gives the CSS suffix that colours a threat model."""
    variants = variants_of(threat)
    if WARM in variants:
        return "warm"
    return "identity" if IDENTITY in variants else STYLES[kind_of(threat)]


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
class Panel:
    """A chart with its title; ``svg`` is markup of our own making, ``curves`` the classifiers."""

    title: str
    svg: str
    curves: tuple[str, ...] = ()


@dataclass(frozen=True)
class Strip:
    """Figures that belong together, and charts about them."""

    title: str
    figures: Sequence[Figure]
    note: str = ""
    charts: Sequence[Panel] = ()


@dataclass(frozen=True)
class Part:
    """All that the page says about one contender of a task.

    Args:
        name: The contender.
        about: What its author says of it.
        reading: What its numbers say; ``None`` where no attack knew it.
        voids: Codes of the flags that forbid to quote its worst case.
        panels: Its curves.
        strips: Its pictures.
    """

    name: str
    about: str
    reading: Reading | None
    voids: Sequence[str] = ()
    panels: Sequence[Panel] = ()
    strips: Sequence[Strip] = ()


@dataclass(frozen=True)
class TaskReport:
    """All that the page says about one task.

    Args:
        name: Data set.
        source: Where the images come from.
        facts: Names and values.
        overviews: Worst cases of all contenders, a chart per norm.
        parts: One per contender.
        sections: The table.
        strips: Pictures that belong to no contender.
    """

    name: str
    source: str
    facts: Sequence[tuple[str, str]]
    overviews: Sequence[Panel]
    parts: Sequence[Part]
    sections: Sequence[Section]
    strips: Sequence[Strip] = ()

    @property
    def curves(self) -> list[tuple[str, int]]:
        """Classifiers of the overviews and the numbers of their colours."""
        names = dict.fromkeys(curve for panel in self.overviews for curve in panel.curves)
        return [(name, number % N_COLOURS) for number, name in enumerate(names)]


@dataclass(frozen=True)
class PaperTable:
    """A table in a paper's own layout.

    Args:
        title: What it is.
        head: Column headings.
        lines: Cells as text; the first is the line's name.
        note: What a reader must know of it.
    """

    title: str
    head: Sequence[str]
    lines: Sequence[Sequence[str]]
    note: str = ""

    def to_text(self) -> str:
        """Writes it as aligned text."""
        every = [list(self.head), *(list(line) for line in self.lines)]
        sizes = [max(len(line[i]) for line in every) for i in range(len(self.head))]
        out = [self.title]
        for line in every:
            cells = [line[0].ljust(sizes[0])]
            cells += [cell.rjust(size) for cell, size in zip(line[1:], sizes[1:], strict=True)]
            out.append("  ".join(cells).rstrip())
            if line is every[0]:
                out.append("-" * len(out[-1]))
        return "\n".join([*out, *([self.note] if self.note else [])])


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
        tables: Tables in a paper's layout, shown first.
    """

    title: str
    lead: Sequence[str]
    tasks: Sequence[TaskReport]
    flags: Sequence[Flag]
    n_checked: int
    details: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    caveats: Sequence[str] = field(default_factory=tuple)
    tables: Sequence[PaperTable] = field(default_factory=tuple)


def chart(rows: list[Row], title: str, defense: str, attack: str, norm: str) -> Panel | None:
    """Draws one attack's curves: no defense, gray-box, adaptive; empty ``attack``: worst cases.

    Returns:
        ``None`` if the table has no such rows.
    """
    found = [
        r for r in rows
        if (r.norm, r.attack, r.check) == (norm, attack, "") and r.threat_model != CLEAN
        and kind_of(r.threat_model) != TRANSFER and r.defense in ("none", defense)
    ]  # fmt: skip
    if not any(row.defense == defense for row in found):
        return None
    lines = []
    for threat, owner in dict.fromkeys((row.threat_model, row.defense) for row in found):
        own = [r for r in found if (r.threat_model, r.defense) == (threat, owner)]
        label = "no defense" if owner == "none" else f"{owner}, {threat}"
        lines.append((label, "bare" if owner == "none" else style_of(threat), owner, own))
    return Panel(title, _draw(rows, lines, norm, title))


def overview(rows: list[Row], title: str, norm: str) -> Panel | None:
    """Draws the worst case of every classifier, each in a colour of its own.

    Returns:
        ``None`` if the table has no worst case of that norm.
    """
    found = [r for r in rows if (r.norm, r.threat_model) == (norm, WORST_CASE)]
    names = tuple(dict.fromkeys(row.defense for row in found))
    if not names:
        return None
    lines = [
        (name, f"c{number % N_COLOURS}", name, [r for r in found if r.defense == name])
        for number, name in enumerate(names)
    ]
    return Panel(title, _draw(rows, lines, norm, title), names)


def _draw(
    rows: list[Row], lines: Sequence[tuple[str, str, str, list[Row]]], norm: str, title: str
) -> str:
    """Draws lines of label, style, classifier and rows; each begins at its clean accuracy."""
    clean = {r.defense: r for r in rows if r.threat_model == CLEAN}
    strengths = sorted({r.strength for *_, own in lines for r in own if r.check != UNBOUNDED})
    curves = []
    for label, style, owner, own in lines:
        by_strength = {row.strength: row for row in own}
        chosen = [clean.get(owner), *(by_strength.get(s) for s in strengths)]
        points = tuple(None if r is None else (r.accuracy, *r.interval) for r in chosen)
        curves.append(Curve(label, style, points))
    ticks = ["clean", *(describe_strength(norm, s) for s in strengths)]
    return draw_curves(curves, ticks, x_title=norm_title(norm), label=title)


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
    environment.filters["mark"] = mark
    environment.filters["radius"] = lambda row: describe_strength(row.norm, row.strength)
    threats = dict.fromkeys(
        line.threat_model
        for task in report.tasks for section in task.sections for line in section.lines
    )  # fmt: skip
    return environment.get_template("report.html.j2").render(
        report=report, style_of=style_of, threats={name: describe(name) for name in threats}
    )
