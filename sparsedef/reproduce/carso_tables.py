"""CARSO's tables: the paper's layout, what the published protocol misses, ablations and cost."""

from __future__ import annotations

from sparsedef.evaluation import Evaluation, Row, paired_excess
from sparsedef.evaluation.contenders import NONE
from sparsedef.evaluation.report import PaperTable
from sparsedef.evaluation.rows import UNBOUNDED, describe_strength, pointwise
from sparsedef.evaluation.threats import (
    BPDA,
    CLEAN,
    GRAY_BOX,
    UNDEFENDED,
    WHITE_BOX,
    kind_of,
    variants_of,
)
from sparsedef.reproduce.carso import Found, is_demonstration
from sparsedef.reproduce.carso_paper import BASES, PUBLISHED, UNCHECKED
from sparsedef.reproduce.carso_parts import CARSO_NAME, FIXED_NAME
from sparsedef.reproduce.layout import accuracy, clean_cell


def tables(found: Found) -> list[PaperTable]:
    """All of them, the paper's first."""
    return [
        paper_table(found), attacks_table(found), saturation_table(found), health_table(found),
        sweep_table(found), ablation_table(found),
    ]  # fmt: skip


def top(found: Found) -> float:
    """The largest radius, where everything was run."""
    return found.amount.strengths[-1]


def attacked(found: Evaluation, name: str, strength: float) -> list[Row]:
    """Rows of one contender that its worst case counts: clean, and any attack of that radius."""
    own = [r for r in found.rows if r.defense == name and r.check != UNBOUNDED]
    return [r for r in own if r.threat_model == CLEAN or r.strength == strength]


def published(found: Found, name: str, strength: float) -> list[Row]:
    """Rows of what the published protocol runs: APGD by two losses, AutoAttack rand, PGD from x."""
    rows = attacked(found.main, name, strength)
    kinds = (WHITE_BOX, UNDEFENDED)
    return [
        r for r in rows
        if r.threat_model == CLEAN or (kind_of(r.threat_model) in kinds and not r.check
        and r.attack.split("-")[0] in ("apgd", "bim", "autoattack")
        and set(variants_of(r.threat_model)) <= {"EOT"})
    ]  # fmt: skip


def literal(found: Found, strength: float) -> list[Row]:
    """The clean row and that of the attack through float32 PeeL."""
    rows = attacked(found.main, CARSO_NAME, strength)
    return [r for r in rows if r.threat_model == CLEAN or is_demonstration(r)]


def paper_table(found: Found) -> PaperTable:
    """Base against CARSO, as published and under everything."""
    name, lines = found.main.task.name, []
    for strength in found.amount.strengths:
        base, carso = (attacked(found.main, each, strength) for each in (NONE, CARSO_NAME))
        lines.append([
            f"{name}, {describe_strength('linf', strength)}, here", clean_cell(found.main, NONE),
            accuracy(base), clean_cell(found.main, CARSO_NAME),
            accuracy(published(found, CARSO_NAME, strength)), accuracy(carso),
            accuracy(attacked(found.main, FIXED_NAME, strength)), "-",
        ])  # fmt: skip
    for scenario, (clean, robust, best) in BASES.items():
        lines.append([
            f"{scenario}, published", clean, robust, UNCHECKED, UNCHECKED, "-", "-", best
        ])  # fmt: skip
    head = [
        "scenario", "AT clean", "AT attacked", "CARSO clean", "CARSO, as published",
        "CARSO, all attacks", "fixed seed, all attacks", "best AT named",
    ]  # fmt: skip
    note = (
        f"Accuracy in %, 95% intervals, {len(found.main.task.test)} images. {PUBLISHED} Here the "
        "published attacks go through the log domain, which predicts the same; published rows are "
        "RobustBench's, of 8/255; CARSO's own could not be checked and are not shown."
    )
    return PaperTable("CARSO: the paper's table", head, lines, note)


def attacks_table(found: Found) -> PaperTable:
    """Every attack on CARSO, with its final answers asked again and again."""
    lines = []
    own = [r for r in found.main.rows if r.defense == CARSO_NAME]
    results = [r for r in own if not r.check and r.strength in (0, top(found))]
    for row in [*results, *(r for r in own if r.check)]:
        check = {"": "", UNBOUNDED: ", must be 0"}.get(row.check, ", longer")
        title = f"{row.attack_title} {describe_strength('linf', row.strength)}{check}"
        over = f"{100 * row.right_draws / (row.n * row.draws):.1f}"
        lines.append([
            "clean" if row.threat_model == CLEAN else title, row.threat_model, accuracy([row]),
            over, f"{100 * row.always / row.n:.1f}",
        ])  # fmt: skip
    worst = attacked(found.main, CARSO_NAME, top(found))
    lines.append(["any of them", "", accuracy(worst), "", ""])
    return PaperTable(
        f"Attacks on CARSO at {describe_strength('linf', top(found))}, {found.main.task.name}",
        ["attack", "what it differentiates", "most draws right", "mean of draws", "all draws"],
        lines,
        f"Each final image is asked about {found.main.plan.final_draws} times. Gray-box: made on "
        "the base alone. “features”: moves the condition; “identity”: no gradient through decoder "
        "and features.",
    )  # fmt: skip


def saturation_table(found: Found) -> PaperTable:
    """The same attack through the published aggregation in float32, and through the log domain."""
    strength = top(found)
    own = attacked(found.main, CARSO_NAME, strength)
    apgd = [r for r in own if r.attack == "apgd" and r.check == ""]
    lines = []
    for title, these in (
        ("float32 PeeL, as published", [r for r in apgd if is_demonstration(r)]),
        ("log domain", [r for r in apgd if set(variants_of(r.threat_model)) == {"EOT"}]),
        ("mean logit", [r for r in apgd if "mean logit" in variants_of(r.threat_model)]),
        ("per-sample loss", [r for r in apgd if "per-sample loss" in variants_of(r.threat_model)]),
    ):
        for row in these:
            lines.append([
                title, accuracy([row]), f"{row.gradients:,}",
                f"{row.nonfinite_gradients / row.gradients:.1%}",
                f"{row.zero_gradients / row.gradients:.1%}",
            ])  # fmt: skip
    lines.append(["worst of all attacks", accuracy(own), "", "", ""])
    head = ["APGD-CE differentiates", "accuracy", "gradients", "with NaN", "all zero"]
    title = f"How saturation silences an attack, {describe_strength('linf', strength)}"
    return PaperTable(title, head, lines, saturation_sentence(found))


def saturation_sentence(found: Found) -> str:
    """Says whether the published protocol over-reports, and by how many images."""
    strength = top(found)
    through = pointwise(r.correct for r in literal(found, strength))
    worst = pointwise(r.correct for r in attacked(found.main, CARSO_NAME, strength))
    more, is_clear = paired_excess(through, worst)
    n = len(worst)
    if more <= 0:
        return f"Through float32 PeeL the same attack finds as much as all attacks, of {n} images."
    noise = "beyond" if is_clear else "within"
    return (
        f"Measured through float32 PeeL alone, {more} of {n} images would have passed for robust "
        f"that some attack fools ({noise} noise): {100 * more / n:.0f} points too much."
    )


def health_table(found: Found) -> PaperTable:
    """Gradients of all attacks: finite at every step, or not."""
    lines = []
    for name in found.main.task.contenders:
        rows = [
            r for each in found.evaluations for r in each.rows
            if r.defense == name and r.gradients and not is_demonstration(r)
        ]  # fmt: skip
        asked, bad, zero = (
            sum(getattr(r, what) for r in rows)
            for what in ("gradients", "nonfinite_gradients", "zero_gradients")
        )
        verdict = "finite at every step" if bad == 0 else "NOT FINITE: no number holds"
        lines.append([name, f"{asked:,}", str(bad), str(zero), verdict])
    head = ["classifier", "gradients", "not finite", "all zero", "verdict"]
    note = "Without the demonstration through float32 PeeL."
    return PaperTable("Health of the attacks", head, lines, note)


def sweep_table(found: Found) -> PaperTable:
    """Accuracy by the number of draws that an attack averages over."""
    lines = []
    for draws, each in found.sweep.items():
        lines.append([str(draws), accuracy(attacked(each, CARSO_NAME, top(found)))])
    note = "PGD on the margin, also begun at gray-box images. More draws must not help the defense."
    return PaperTable("EOT sweep", ["draws per gradient", CARSO_NAME], lines, note)


def ablation_table(found: Found) -> PaperTable:
    """Aggregations, samples, purifiers: accuracy and cost."""
    base, lines = found.cost[NONE], []
    for name in found.ablations.task.contenders:
        own = attacked(found.ablations, name, top(found))
        gray = [r for r in own if kind_of(r.threat_model) in (CLEAN, GRAY_BOX)]
        lines.append([
            name, clean_cell(found.ablations, name), accuracy(gray) if name != NONE else "-",
            accuracy(own), f"{found.cost[name] / base:.1f}",
        ])  # fmt: skip
    own = attacked(found.fixed, FIXED_NAME, top(found))
    lines.append([
        f"{FIXED_NAME}, {found.fixed_name}", clean_cell(found.fixed, FIXED_NAME), "-",
        accuracy(own), f"{found.cost[CARSO_NAME] / base:.1f}",
    ])  # fmt: skip
    head = ["classifier", "clean", "transfer from base", "attacked", "cost"]
    note = (
        "Cost: floating-point operations of one answer, in units of the base. CARSO's is one look "
        "for the features, and one decoding and one look for each sample. Attack: PGD on the "
        "margin with EOT, also begun at gray-box images. Votes have no gradient of their own: "
        f"{BPDA}, through the log domain's."
    )
    title = f"Ablations at {describe_strength('linf', top(found))}"
    return PaperTable(title, head, lines, note)


def first_sentence(found: Found) -> str:
    """Base against CARSO, whatever it is."""
    strength = top(found)
    base, carso = (attacked(found.main, each, strength) for each in (NONE, CARSO_NAME))
    more, is_clear = paired_excess(
        pointwise(r.correct for r in carso), pointwise(r.correct for r in base)
    )
    what = f"image{'' if abs(more) == 1 else 's'} {'more' if more >= 0 else 'fewer'}"
    noise = "beyond noise" if is_clear else "within noise"
    return (
        f"Under all attacks at {describe_strength('linf', strength)}, accuracy in %: CARSO "
        f"{accuracy(carso)}, its base alone {accuracy(base)}: {abs(more)} {what} of "
        f"{len(found.main.task.test)}, {noise}. {saturation_sentence(found)}"
    )
