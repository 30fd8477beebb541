"""From the demo's rows to its two files: results.json and report.html."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from sparsedef.demo.bench import Bench
from sparsedef.demo.gallery import (
    choose_samples,
    dictionary_strip,
    photograph_strips,
    sample_strips,
)
from sparsedef.demo.plan import Plan
from sparsedef.evaluation import (
    Flag,
    Reading,
    Row,
    build_sections,
    find_flags,
    read,
    worst_cases,
)
from sparsedef.evaluation.report import Report, TaskReport, chart, render
from sparsedef.evaluation.rows import ADAPTIVE_WARM, CLEAN, GRAY_BOX, describe_strength
from sparsedef.whole_file import whole_file

Images = dict[tuple[str, str, float], Tensor]  # (task, target, strength) of BIM -> first images

LEAD = (
    "A small network is trained on real images, a defense is put before it, and both are "
    "attacked. The defense, RegionSparse, finds the object, rebuilds it from a few patches of a "
    "dictionary of clean patches, and smooths the rest.",
    "The question is not whether it stops attacks that do not know of it, but what is left when "
    "the attack goes through it. All numbers are on the same test images; an image that is "
    "misclassified without any attack counts as wrong throughout.",
)
CAVEATS = (
    "These are small images and a small network, so that everything runs in minutes: the numbers "
    "show how an evaluation is done, not how the defense would do elsewhere.",
    "The adaptive gradient is exact with the box and the choice of atoms held fixed. An attack "
    "that steers the box or the choice of atoms could do better; none is tried here.",
    "Attacks climb the margin between the best wrong class and the true one, because "
    "cross-entropy has zero gradient on a confident network, which would pass for robustness.",
)
CAVEAT_PHOTOGRAPHS = (
    "Test crops of the photographs do not overlap, and training and test crops come from opposite "
    "sides, but there are only two photographs: intervals describe other crops of these two, not "
    "other photographs."
)


def read_task(rows: list[Row], task: str, plan: Plan) -> Reading:
    """Reads a task at the strength at which the bare classifier is nearest to half right.

    So the defense has no say in which strength is read.
    """
    bare = [r for r in worst_cases(rows) if (r.task, r.defense, r.norm) == (task, "none", "linf")]
    strength = min(bare, key=lambda row: abs(row.accuracy - 0.5)).strength
    return read([*rows, *worst_cases(rows)], task, "regionsparse", "linf", strength)


def results(
    plan: Plan, versions: dict[str, str], benches: dict[str, Bench], rows: list[Row]
) -> dict[str, Any]:
    """All numbers of the demo as plain values."""
    every = [*rows, *worst_cases(rows)]
    return {
        "plan": plan.to_json(),
        "versions": versions,
        "tasks": {
            name: {
                "source": bench.dataset.source,
                "classes": bench.dataset.classes,
                "sample_ids": bench.test.ids,
            }
            for name, bench in benches.items()
        },
        "rows": [row.to_json() for row in every],
        "flags": [vars(flag) for flag in find_flags(rows)],
        "reading": {name: read_task(rows, name, plan).sentences for name in benches},
    }


def _facts(bench: Bench, rows: list[Row]) -> list[tuple[str, str]]:
    dataset, defense = bench.dataset, bench.regionsparse
    boxes = defense.boxes(bench.test.images)
    height, width = bench.test.images.shape[-2:]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (height * width)
    clean = {r.defense: f"{r.accuracy:.1%}" for r in rows if r.threat_model == CLEAN}
    return [
        ("images", f"{len(dataset.train)} train, {len(dataset.validation)} validation"),
        ("attacked test images", f"{len(bench.test)} of {len(dataset.test)}"),
        ("clean accuracy", f"{clean['none']} bare, {clean['regionsparse']} defended"),
        ("dictionary", f"{len(defense.dictionary)} atoms of {defense.patch_size} x "
                       f"{defense.patch_size} RGB, {defense.n_nonzero} per patch"),
        ("box", f"{area.float().median():.0%} of the image (median), "
                f"over 95% on {(area > 0.95).float().mean():.0%} of them"),
    ]  # fmt: skip


def _task_report(bench: Bench, rows: list[Row], images: Images, plan: Plan) -> TaskReport:
    name = bench.dataset.name
    here = [row for row in rows if row.task == name]
    reading = read_task(rows, name, plan)
    every = [*here, *worst_cases(here)]
    panels = [
        chart(every, title, defense, attack, norm)
        for title, defense, attack, norm in (
            ("Worst case over all L∞ attacks", "regionsparse", "", "linf"),
            ("BIM", "regionsparse", "bim", "linf"),
            ("MI-FGSM", "regionsparse", "mi_fgsm", "linf"),
            ("FGSM", "regionsparse", "fgsm", "linf"),
            ("CW-L2", "regionsparse", "cw_l2", "l2"),
            ("Control: BIM on bilateral filtering alone", "bilateral", "bim", "linf"),
        )
    ]
    strength = reading.strength
    outcomes = {
        key: next(
            r.correct for r in here
            if (r.threat_model, r.defense) == (threat, "regionsparse")
            and (threat == CLEAN or (r.attack, r.strength) == ("bim", strength))
        )
        for key, threat in (("clean", CLEAN), ("gray", GRAY_BOX), ("adaptive", ADAPTIVE_WARM))
    }  # fmt: skip
    strips = [dictionary_strip(bench.regionsparse)]
    if name == "photographs":
        strips += photograph_strips(bench.regionsparse)
    return TaskReport(
        name=name,
        source=bench.dataset.source,
        facts=_facts(bench, here),
        reading=reading,
        sections=build_sections(every),
        panels=[panel for panel in panels if panel is not None],
        samples=sample_strips(
            bench,
            choose_samples(outcomes, 4, plan.n_pictures),
            images[name, "none", strength],
            images[name, "regionsparse", strength],
            describe_strength("linf", strength),
        ),
        strips=strips,
    )


def write_pages(
    out: Path,
    plan: Plan,
    versions: dict[str, str],
    benches: dict[str, Bench],
    rows: list[Row],
    images: Images,
) -> list[Flag]:
    """Writes ``results.json`` and ``report.html`` to ``out``; returns the flags."""
    values = results(plan, versions, benches, rows)
    text = json.dumps(values, indent=1) + "\n"
    with whole_file(out / "results.json") as draft:
        draft.write_text(text, encoding="utf-8")
    flags = find_flags(rows)
    details = [
        ("Settings", [(key, json.dumps(value)) for key, value in plan.to_json().items()]),
        ("Versions", list(versions.items())),
        *(
            (f"Test images of {name}, in order", [("ids", " ".join(bench.test.ids))])
            for name, bench in benches.items()
        ),
    ]
    report = Report(
        title="A defense, attacked honestly",
        lead=LEAD,
        tasks=[_task_report(bench, rows, images, plan) for bench in benches.values()],
        flags=flags,
        n_checked=len(rows),
        details=details,
        caveats=[*CAVEATS, *([CAVEAT_PHOTOGRAPHS] if "photographs" in benches else [])],
    )
    page = render(report)
    with whole_file(out / "report.html") as draft:
        draft.write_text(page, encoding="utf-8")
    return flags
