"""A robustness table in reading order: what counts first, what flatters last."""

from __future__ import annotations

from dataclasses import dataclass

from sparsedef.evaluation.rows import SEMANTIC, UNBOUNDED, Row, describe_strength
from sparsedef.evaluation.threats import CLEAN, reading_order


@dataclass(frozen=True)
class Line:
    """One line: a classifier, a threat model and an attack, over the strengths of a norm.

    Args:
        threat_model: What the attacker knows.
        defense: What the image passes before it is classified.
        attack: Name of the attack as papers write it; ``"all"`` for the worst case.
        cells: One row per strength of the section, ``None`` where it was not run.
    """

    threat_model: str
    defense: str
    attack: str
    cells: tuple[Row | None, ...]


@dataclass(frozen=True)
class Section:
    """The lines of one task and norm.

    Args:
        task: Data set.
        norm: ``"linf"``, ``"l2"``, or another measure by its own name.
        n: Number of samples.
        strengths: Radii, ascending; 0 stands for clean images.
        lines: Adaptive results before gray-box ones.
    """

    task: str
    norm: str
    n: int
    strengths: tuple[float, ...]
    lines: tuple[Line, ...]

    @property
    def titles(self) -> tuple[str, ...]:
        """Headings of the strength columns."""
        return tuple(
            "clean" if strength == 0 else describe_strength(self.norm, strength)
            for strength in self.strengths
        )

    @property
    def norm_title(self) -> str:
        """What the strengths measure, in words."""
        return norm_title(self.norm)


def mark(norm: str) -> str:
    """Writes a norm as readers do: ``L∞``, ``L2``, or another measure by its own name."""
    return {"linf": "L∞", "l2": "L2"}.get(norm, norm)


def norm_title(norm: str) -> str:
    """Says in words what strengths of a norm measure."""
    titles = {
        "linf": "L∞ radius",
        "l2": "L2 radius relative to the images' mean norm",
        SEMANTIC: "semantic edits (they have no radius)",
    }
    return titles.get(norm, norm)


def build_sections(rows: list[Row]) -> list[Section]:
    """Sorts rows into one section per task and norm; radii without a limit are left out."""
    rows = [row for row in rows if row.check != UNBOUNDED]
    clean = {(r.task, r.defense): r for r in rows if r.threat_model == CLEAN}
    attacked = [row for row in rows if row.threat_model != CLEAN]
    sections = []
    for task, norm in dict.fromkeys((row.task, row.norm) for row in attacked):
        group = [row for row in attacked if (row.task, row.norm) == (task, norm)]
        strengths = (0.0, *sorted({row.strength for row in group}))
        by_line: dict[tuple[str, str, str], dict[float, Row]] = {}
        for row in group:
            key = (row.threat_model, row.defense, row.attack_title)
            by_line.setdefault(key, {})[row.strength] = row
        lines = [
            Line(threat, defense, attack,
                 tuple({0.0: clean[task, defense], **found}.get(s) for s in strengths))
            for (threat, defense, attack), found in by_line.items()
        ]  # fmt: skip
        # clean images are scored without defense first, then behind the controls, then the defense
        rank = [defense for of, defense in clean if of == task][::-1]
        lines.sort(key=lambda line: (reading_order(line.threat_model), rank.index(line.defense)))
        sections.append(Section(task, norm, group[0].n, strengths, tuple(lines)))
    return sections


def format_table(rows: list[Row]) -> str:
    """Writes the table as text: accuracies in percent."""
    blocks = []
    for section in build_sections(rows):
        head = [f"{section.task}, {section.norm_title}: accuracy in % of all {section.n} images"]
        widths = [max(7, len(title) + 2) for title in section.titles]
        left = ("threat model", "defense", "attack")
        cells = [(line.threat_model, line.defense, line.attack) for line in section.lines]
        sizes = [max(len(row[i]) for row in [left, *cells]) + 2 for i in range(3)]
        head.append(
            "".join(text.ljust(size) for text, size in zip(left, sizes, strict=True))
            + "".join(t.rjust(w) for t, w in zip(section.titles, widths, strict=True))
        )
        head.append("-" * len(head[-1]))
        for names, line in zip(cells, section.lines, strict=True):
            numbers = ["" if row is None else f"{100 * row.accuracy:.1f}" for row in line.cells]
            head.append(
                "".join(text.ljust(size) for text, size in zip(names, sizes, strict=True))
                + "".join(t.rjust(w) for t, w in zip(numbers, widths, strict=True))
            )
        blocks.append("\n".join(head))
    return "\n\n".join(blocks)
