"""SSD beside everything it must be compared with, under semantic attacks that know it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sparsedef.defenses.semantic import SSD
from sparsedef.evaluation import (
    Flag,
    Row,
    WorkBar,
    build_sections,
    codes_of,
    find_flags,
    worst_cases,
)
from sparsedef.evaluation.pages import write_files
from sparsedef.evaluation.report import PaperTable, Part, Report, TaskReport
from sparsedef.reproduce.ssd_attacks import Findings, attack_contender, n_ascents, rows_of
from sparsedef.reproduce.ssd_duel import run_search, search_table, search_work
from sparsedef.reproduce.ssd_heads import CONTENDERS, Fitted, fit_heads
from sparsedef.reproduce.ssd_pictures import strips, unattacked
from sparsedef.reproduce.ssd_pixels import ATTACKED, RADII, pixel_rows
from sparsedef.reproduce.ssd_reading import read_head, read_reasons, read_search
from sparsedef.reproduce.ssd_search import Condition
from sparsedef.reproduce.ssd_tables import comparison, contenders_table, pixel_table
from sparsedef.reproduce.ssd_theory import (
    Moved,
    geometry,
    geometry_table,
    measure,
    theory_table,
)
from sparsedef.reproduce.ssd_world import HEADS, Association, World, association
from sparsedef.worlds import CLASSES

TITLE = "SSD: sparse semantic defense, attacked in ShapeWorld"
LEAD = (
    "SSD reads an image as a sparse code over task-relevant concepts and leaves the residual "
    "unread. Here its classes are drawn shapes, and the attacker changes what is irrelevant: "
    "weather, light, colour, background. Every classifier below has the same encoder, the same "
    "concepts and the same training scenes, once without a shortcut and once with a weather that "
    "goes with the class.",
    "SSD is not a defense against small noise in the pixels (L∞, L2), and nothing here says so: "
    "see the table of pixel attacks.",
)
SIGNS = "Codes have signs: a concept may speak for a class by being less there than on average."
CAVEATS = (
    "An accuracy under attack is an upper bound: a stronger attack can only lower it.",
    "Drawn shapes and a small CLIP are no photographs; what holds here is a mechanism, not a "
    "benchmark. Zero-shot prompts are worded as the captions that this CLIP was trained on.",
    "A wrong answer without any edit counts as wrong throughout.",
)


@dataclass(frozen=True, eq=False)
class Head:
    """All that was found about the classifiers of one training split.

    Args:
        name: ``"clean"`` or ``"confounded"``.
        association: The shortcut that its training scenes have in fact.
        fitted: The classifiers.
        findings: Semantic attacks on each.
        rows: All rows, no worst cases.
        moved: What attacks did to SSD.
    """

    name: str
    association: Association
    fitted: Mapping[str, Fitted]
    findings: Mapping[str, Findings]
    rows: list[Row]
    moved: list[Moved]

    @property
    def task(self) -> str:
        """Its name in rows."""
        return task_name(self.name)

    @property
    def ssd(self) -> SSD:
        """SSD itself."""
        model = self.fitted["ssd"].model
        assert isinstance(model, SSD)
        return model


def task_name(head: str) -> str:
    """Name of a head's task in rows."""
    return f"shapeworld, {head} heads"


def run_heads(world: World, bar: WorkBar, more: int) -> list[Head]:
    """Fits and attacks everything; ``more`` steps of work will follow."""
    fitted = {name: fit_heads(world, name) for name in HEADS}
    models = [each.model for heads in fitted.values() for each in heads.values()]
    pixels = len(HEADS) * len(ATTACKED) * len(RADII)
    bar.expect(sum(map(n_ascents, models)) + pixels + more)
    return [_run_head(world, name, heads, bar) for name, heads in fitted.items()]


def _run_head(world: World, name: str, fitted: Mapping[str, Fitted], bar: WorkBar) -> Head:
    task = task_name(name)
    findings = {
        title: attack_contender(world, each.model, f"{name} heads, {title}", bar.advance)
        for title, each in fitted.items()
    }
    models = {title: each.model for title, each in fitted.items()}
    rows = rows_of(world, task, findings, models)
    rows += pixel_rows(world, task, fitted, bar.advance)
    ssd = fitted["ssd"].model
    assert isinstance(ssd, SSD)
    moved = measure(world, ssd, findings["ssd"])
    return Head(name, association(world, name), fitted, findings, rows, moved)


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that a run found.

    Args:
        world: Where.
        heads: One per training split.
        geometry: How the atoms lie.
        sparsity: Where sparsity itself wins, as plain values.
        reading: What the numbers say, in sentences.
        tables: As the page shows them.
        settings: Options of the command.
        versions: Of what results depend on.
    """

    world: World
    heads: list[Head]
    geometry: Mapping[str, Any]
    sparsity: Mapping[str, Any]
    reading: list[str]
    tables: list[PaperTable]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]

    @property
    def rows(self) -> list[Row]:
        """Of all heads, no worst cases."""
        return [row for head in self.heads for row in head.rows]

    @property
    def flags(self) -> list[Flag]:
        """What the sanity checks found."""
        return find_flags(self.rows)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        flags, rows = self.flags, self.rows
        every = [*rows, *worst_cases(rows)]
        return {
            "title": TITLE,
            "settings": dict(self.settings),
            "sizes": asdict(self.world.sizes),
            "encoder": {"name": self.world.encoder.name, "digest": self.world.digest},
            "versions": dict(self.versions),
            "reading": self.reading,
            "tables": [asdict(table) for table in self.tables],
            "tasks": {head.task: self._task(head) for head in self.heads},
            "rows": [row.to_json() | {"flags": codes_of(row, rows, flags)} for row in every],
            "flags": [flag.to_json() for flag in flags],
            "geometry": dict(self.geometry),
            "sparsity": dict(self.sparsity),
        }

    def _task(self, head: Head) -> dict[str, Any]:
        return {
            "classes": list(CLASSES),
            "sample_ids": list(self.world.test.ids),
            "association": asdict(head.association),
            "defenses": {
                name: {
                    "class": type(each.model).__name__,
                    "about": CONTENDERS[name].about,
                    "notes": each.model.notes,
                    "alpha": getattr(each.model, "alpha", None),
                    "l2": each.model.l2,
                    "support": each.support,
                    "tried": [list(pair) for pair in each.tried],
                }
                for name, each in head.fitted.items()
            },
            "theory": [asdict(row) for row in head.moved],
        }


def reproduce(
    world: World,
    bar: WorkBar,
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
    looked_at: Sequence[Condition],
) -> Results:
    """Runs the comparison; what is in the world's cache is not run again.

    Args:
        world: Where.
        bar: Told of every step.
        settings: Options of the command.
        versions: Of what results depend on.
        looked_at: Conditions in which sparse and dense are compared.
    """
    heads = run_heads(world, bar, search_work(looked_at))
    outcomes, duels, sparsity = run_search(world, looked_at, bar.advance)
    found = geometry(world, {head.name: head.ssd for head in heads})
    rows = [row for head in heads for row in head.rows]
    reading = [line for head in heads for line in read_head(head.task, head.name, rows)]
    last_head = heads[-1]  # the confounded one, where there is something to explain
    reading += read_reasons(last_head.name, last_head.moved, found, rows, last_head.task)
    reading += read_search(outcomes, duels)
    tables = [
        *(comparison(head.task, head.name, head.rows, head.association) for head in heads),
        search_table(outcomes, duels),
        pixel_table([row for row in rows if row.attack == "pgd-margin"]),
        *(theory_table(head.name, head.ssd, head.moved) for head in heads),
        geometry_table(found),
        contenders_table({head.name: head.fitted for head in heads}),
    ]
    return Results(world, heads, found, sparsity, reading, tables, settings, versions)


def write(out: Path, results: Results) -> None:
    """Writes ``results.json`` and ``report.html``.

    Raises:
        ImportError: Jinja2 or Pillow is not installed.
    """
    write_files(out, _report(results), results.to_json())


def _report(results: Results) -> Report:
    ids = [("ids", " ".join(results.world.test.ids))]
    settings = [(key, json.dumps(value)) for key, value in results.settings.items()]
    sizes = [(key, json.dumps(value)) for key, value in asdict(results.world.sizes).items()]
    return Report(
        title=TITLE,
        lead=LEAD,
        findings=results.reading,
        tasks=[_task_report(results, head) for head in results.heads],
        flags=results.flags,
        n_checked=len(results.rows),
        details=[
            ("Settings", [*settings, *sizes]),
            ("Versions", list(results.versions.items())),
            ("Test scenes, in order", ids),
        ],
        caveats=CAVEATS,
        tables=results.tables,
    )


def _task_report(results: Results, head: Head) -> TaskReport:
    every = [*head.rows, *worst_cases(head.rows)]
    found = head.association
    pictures = strips(results.world, head.ssd, head.findings["ssd"])
    if head.name == "clean":
        pictures = [*unattacked(results.world, head.ssd), *pictures]
    return TaskReport(
        name=head.task,
        source="sparsedef.worlds: drawn, 48 x 48",
        facts=[
            ("attacked test scenes", str(len(results.world.test.ids))),
            ("training scenes", str(results.world.sizes.n_train)),
            ("in their class's favourite weather", f"{found.share:.1%}"),
            ("Cramér's V of class and weather", f"{found.cramers_v:.2f}"),
        ],
        overviews=[],
        parts=[Part("ssd", f"{SSD.notes} {SIGNS}", None, strips=pictures)],
        sections=build_sections(every),
    )
