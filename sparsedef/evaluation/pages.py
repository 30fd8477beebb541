"""From evaluations to their two files: results.json and report.html."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sparsedef.evaluation.contenders import NONE
from sparsedef.evaluation.flags import Flag, codes_of, find_flags, told_once, voids
from sparsedef.evaluation.gallery import sample_strips
from sparsedef.evaluation.inside import map_strips, ratio_panel
from sparsedef.evaluation.reading import Reading, read, reading_strength
from sparsedef.evaluation.report import (
    Panel,
    PaperTable,
    Part,
    Report,
    Strip,
    TaskReport,
    chart,
    overview,
    render,
)
from sparsedef.evaluation.rows import Row, worst_cases
from sparsedef.evaluation.runner import Evaluation
from sparsedef.evaluation.table import build_sections, format_table, mark
from sparsedef.evaluation.threats import CLEAN
from sparsedef.whole_file import whole_file


@dataclass(frozen=True)
class Words:
    """What a page says besides its numbers.

    Args:
        title: Heading.
        lead: First paragraphs.
        caveats: What the numbers do not say.
        settings: Names and values that decide the numbers, besides the plan.
        strips: Pictures per task and contender (``""``: of none), after the samples.
        tables: Tables in a paper's layout.
        shown: Contenders that get a card and a part of their own, where there are many; ``None``
            for all. The tables and the checks have all of them.
    """

    title: str
    lead: Sequence[str]
    caveats: Sequence[str] = ()
    settings: Mapping[str, Any] | None = None
    strips: Mapping[tuple[str, str], Sequence[Strip]] | None = None
    tables: Sequence[PaperTable] = ()
    shown: Sequence[str] | None = None


def readings(found: Evaluation) -> dict[str, Reading]:
    """Reads every contender that attacks knew, at the strength that the bare classifier chooses."""
    rows = [*found.rows, *worst_cases(found.rows)]
    norm = next((each.norm for each in found.plan.attacks if not each.check), "linf")
    strength = reading_strength(rows, found.task.name, norm)
    result: dict[str, Reading] = {}
    if strength is None:
        return result
    for name in found.task.defended():
        try:
            result[name] = read(rows, found.task.name, name, norm, strength)
        except ValueError:  # no attack of this strength knew it
            continue
    return result


def results(
    evaluations: Sequence[Evaluation], versions: Mapping[str, str], words: Words
) -> dict[str, Any]:
    """All numbers as plain values; each row says which flags are about it."""
    flags = all_flags(evaluations)
    tasks, rows = {}, []
    for found in evaluations:
        task, own = found.task, found.rows
        every = [*own, *worst_cases(own)]
        rows += [row.to_json() | {"flags": codes_of(row, own, flags)} for row in every]
        tasks[task.name] = {
            "source": task.source,
            "classes": list(task.classes),
            "sample_ids": list(task.test.ids),
            "facts": dict(task.facts),
            "mean_norm": task.mean_norm,
            "plan": found.plan.to_json(),
            "defenses": {
                name: {
                    "class": type(contender.model).__name__,
                    "bare": contender.bare,
                    "is_random": contender.is_random,
                    "has_exact_gradient": contender.has_exact_gradient,
                    "notes": getattr(contender.model, "notes", ""),
                }
                for name, contender in task.contenders.items()
            },
            "reading": {name: each.sentences for name, each in readings(found).items()},
        }
    return {
        "title": words.title,
        "settings": dict(words.settings or {}),
        "versions": dict(versions),
        "tables": [asdict(table) for table in words.tables],
        "tasks": tasks,
        "rows": rows,
        "flags": [flag.to_json() for flag in flags],
    }


def all_flags(evaluations: Sequence[Evaluation]) -> list[Flag]:
    """Runs every check over every evaluation, serious findings first."""
    flags = [flag for found in evaluations for flag in find_flags(found.rows)]
    return sorted(flags, key=lambda flag: not flag.is_serious)


def summary(evaluations: Sequence[Evaluation], flags: Sequence[Flag]) -> str:
    """Writes what a terminal shows: the table, and what the checks found."""
    rows = [row for found in evaluations for row in found.rows]
    told = [format_table([*rows, *worst_cases(rows)])]
    return "\n\n".join([*told, *(flag.sentence for flag in told_once(flags))])


def write_pages(
    out: Path, evaluations: Sequence[Evaluation], versions: Mapping[str, str], words: Words
) -> list[Flag]:
    """Writes ``results.json`` and ``report.html`` to the folder ``out``; returns the flags.

    Raises:
        ImportError: Jinja2 or Pillow is not installed.
    """
    flags = all_flags(evaluations)
    report = _report(evaluations, versions, words, flags)
    write_files(out, report, results(evaluations, versions, words))
    return flags


def write_files(out: Path, report: Report, values: Mapping[str, Any]) -> None:
    """Writes a page and its numbers as ``report.html`` and ``results.json`` to the folder ``out``.

    Raises:
        ImportError: Jinja2 or Pillow is not installed.
    """
    page, text = render(report), json.dumps(values, indent=1, allow_nan=False) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    for name, content in (("results.json", text), ("report.html", page)):
        with whole_file(out / name) as draft:
            draft.write_text(content, encoding="utf-8")


def _report(
    evaluations: Sequence[Evaluation],
    versions: Mapping[str, str],
    words: Words,
    flags: list[Flag],
) -> Report:
    settings = [(key, json.dumps(value)) for key, value in (words.settings or {}).items()]
    details: list[tuple[str, Sequence[tuple[str, str]]]] = [("Versions", list(versions.items()))]
    if settings:
        details.insert(0, ("Settings", settings))
    for found in evaluations:
        plan = [(key, json.dumps(value)) for key, value in found.plan.to_json().items()]
        details.append((f"Attacks on {found.task.name}", plan))
        ids = [("ids", " ".join(found.task.test.ids))]
        details.append((f"Test images of {found.task.name}, in order", ids))
    return Report(
        title=words.title,
        lead=words.lead,
        tasks=[_task_report(found, words, flags) for found in evaluations],
        flags=flags,
        n_checked=sum(len(found.rows) for found in evaluations),
        details=details,
        caveats=words.caveats,
        tables=words.tables,
    )


def _task_report(found: Evaluation, words: Words, flags: list[Flag]) -> TaskReport:
    task, read_at = found.task, readings(found)
    every = [*found.rows, *worst_cases(found.rows)]
    norms = list(dict.fromkeys(r.norm for r in every if r.threat_model != CLEAN))
    extra = words.strips or {}
    # a curve needs a colour of its own
    drawn = [r for r in every if words.shown is None or r.defense in (NONE, *words.shown)]
    overviews = [overview(drawn, f"Worst case, {mark(n)}", n) for n in norms]
    parts = []
    names = [name for name in task.defended() if words.shown is None or name in words.shown]
    for name in names or [NONE]:
        reading = read_at.get(name)
        strength = None if reading is None else reading.strength
        samples, panels = [], _panels(every, name, norms)
        if strength is not None:
            samples = [*sample_strips(found, name, strength), *map_strips(found, name, strength)]
            panels.append(ratio_panel(found, name, strength))
        parts.append(
            Part(
                name=name,
                about=str(getattr(task.contenders[name].model, "notes", "")),
                reading=reading,
                voids=sorted(voids(found.rows, flags, task.name, name)),
                panels=[panel for panel in panels if panel is not None],
                strips=[*samples, *extra.get((task.name, name), ())],
            )
        )
    return TaskReport(
        name=task.name,
        source=task.source,
        facts=[*_facts(found), *task.facts],
        overviews=[panel for panel in overviews if panel is not None and len(panel.curves) > 1],
        parts=parts,
        sections=build_sections(every),
        strips=extra.get((task.name, ""), ()),
    )


def _panels(every: list[Row], name: str, norms: list[str]) -> list[Panel | None]:
    panels = []
    for norm in norms:
        panels.append(chart(every, f"Worst case over all {mark(norm)} attacks", name, "", norm))
        attacks = dict.fromkeys(r.attack for r in every if r.norm == norm and r.attack)
        for attack in attacks:
            panels.append(chart(every, f"{attack.upper().replace('_', '-')}", name, attack, norm))
    return panels


def _facts(found: Evaluation) -> list[tuple[str, str]]:
    clean = [r for r in found.rows if r.threat_model == CLEAN]
    return [
        ("attacked test images", str(len(found.task.test))),
        ("clean accuracy", ", ".join(f"{r.accuracy:.1%} {r.defense}" for r in clean)),
    ]
