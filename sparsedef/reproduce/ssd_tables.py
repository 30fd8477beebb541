"""The comparison's tables: a line a classifier, a column an attack, the worst case last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sparsedef.evaluation import Row, worst_cases
from sparsedef.evaluation.report import PaperTable
from sparsedef.evaluation.rows import SEMANTIC, pointwise
from sparsedef.evaluation.threats import BPDA, CLEAN, SCORES, TRANSFER, WHITE_BOX, WORST_CASE
from sparsedef.reproduce.ssd_attacks import (
    ASCENT,
    CONCEPT,
    NAMED,
    OTHERS,
    STAND_IN,
    SUPPORT,
)
from sparsedef.reproduce.ssd_heads import CONTENDERS, Fitted
from sparsedef.reproduce.ssd_world import Association


def comparison(task: str, head: str, rows: Sequence[Row], found: Association) -> PaperTable:
    """Lays out one head's contenders: accuracies in percent."""
    own = [row for row in rows if row.task == task]
    every = [*own, *worst_cases(own)]
    lines = []
    for name in dict.fromkeys(row.defense for row in own):
        here = [row for row in every if row.defense == name and row.norm == SEMANTIC]
        clean = next(row for row in own if row.defense == name and row.threat_model == CLEAN)
        worst = next(row for row in here if row.threat_model == WORST_CASE)

        def cell(threat: str, *attacks: str, source: str = "", here: list[Row] = here) -> str:
            outcomes = [
                row.correct for row in here
                if (row.threat_model, row.source) == (threat, source)
                and any(row.attack.startswith(attack) for attack in attacks or ("",))
            ]  # fmt: skip
            if not outcomes:
                return "-"
            outcome = pointwise(outcomes)
            return f"{100 * outcome.count('1') / len(outcome):.0f}"

        lines.append([
            name, _with_interval(clean), _with_interval(worst),
            cell(SCORES, NAMED), cell(SCORES, "best_of"),
            cell(WHITE_BOX, ASCENT), cell(WHITE_BOX, CONCEPT), cell(WHITE_BOX, SUPPORT),
            cell(BPDA, ASCENT), cell(TRANSFER, source=STAND_IN), cell(TRANSFER, source=OTHERS),
        ])  # fmt: skip
    return PaperTable(
        f"{head.capitalize()} heads: accuracy in % of {own[0].n} test scenes",
        ["classifier", "clean", "worst case", "named", "best of N", "ascent", "concept",
         "support", "along", "stand-in", "others"],
        lines,
        f"Training scenes in their class's favourite weather: {100 * found.share:.1f} % achieved "
        f"(17 % without a shortcut), Cramér's V of class and weather {found.cramers_v:.2f}; test "
        "scenes have no shortcut. Worst case: image by image, over all of the columns after it. "
        "Every ascent begins at the strongest version that the searches know. Concept and support: "
        "ascents on the code. Along: the classifier judges every point, its dense stand-in W D e "
        "gives the gradient. Stand-in: all attacks made on that one, then shown to the classifier. "
        "Others: ascents made on every other line. Brackets: 95 % Wilson intervals.",
    )  # fmt: skip


def contenders_table(heads: Mapping[str, Mapping[str, Fitted]]) -> PaperTable:
    """Says what each line is, and what was chosen for it on held-out training scenes."""
    lines = []
    for name, rival in CONTENDERS.items():
        line = [name, rival.about]
        for fitted in (models[name] for models in heads.values()):
            alpha = getattr(fitted.model, "alpha", None)
            support = str(fitted.support) if fitted.support else "-"
            line += [support, "-" if alpha is None else f"{alpha:.3g}"]
        lines.append(line)
    head = [f"{kind}, {name}" for name in heads for kind in ("support", "alpha")]
    return PaperTable(
        words=(1,),
        title="The classifiers",
        head=["classifier", "what it reads", *head],
        lines=lines,
        note="Support: nonzeros of the median clean code, chosen on held-out training scenes: the "
        "sparsest within a standard error of the best accuracy. No attacked image, and none of "
        "the validation or test scenes, was looked at.",
    )


def pixel_table(rows: Sequence[Row]) -> PaperTable:
    """Lays out the pixel attacks."""
    radii = sorted({row.strength for row in rows})
    lines = []
    for task, name in dict.fromkeys((row.task, row.defense) for row in rows):
        own = {r.strength: r for r in rows if (r.task, r.defense) == (task, name)}
        lines.append([f"{name}, {task}", *(_with_interval(own[radius]) for radius in radii)])
    return PaperTable(
        "Pixel attacks: SSD is no defense against them",
        ["classifier", *(f"L∞ {255 * radius:g}/255" for radius in radii)],
        lines,
        "PGD on the margin through encoder, code and head: accuracy in %, for sanity. Nothing in "
        "SSD bounds what noise of the pixels does to the embedding.",
    )


def _with_interval(row: Row) -> str:
    low, high = row.interval
    return f"{100 * row.accuracy:.0f} [{100 * low:.0f} to {100 * high:.0f}]"
