"""LAAT's tables: accuracies with intervals over episodes, and what the paper claims, as found."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sparsedef.data.class_split import ClassSplit
from sparsedef.defenses.laat import AnchorExpansion, mean_cosine
from sparsedef.evaluation.episodes import EpisodeEvaluation, find_row, over_episodes
from sparsedef.evaluation.metrics import Interval, paired_difference, wilson_interval
from sparsedef.evaluation.report import PaperTable
from sparsedef.evaluation.rows import Row, clean_row, describe_strength, pointwise
from sparsedef.reproduce.laat import SCALED, Found
from sparsedef.reproduce.laat_methods import METHODS, Setting
from sparsedef.reproduce.laat_sizes import MAIN

ABLATIONS = ("laat", "raw anchors", "no smoothness", "raw, no smoothness", "no A-CE")


def tables(found: Found) -> list[PaperTable]:
    """All of them, the claim first."""
    return [
        claim_table(found),
        zero_shot_table(found, list(found.zero_shot.evaluation.task.contenders), "Zero-shot"),
        zero_shot_table(
            found, [name for name in ABLATIONS if name in found.networks], "Ablations, zero-shot"
        ),
        general_table(found),
        shots_table(found),
        anchors_table(found.setting),
        budget_table(found),
    ]


def cell(mean: float, interval: Interval | tuple[float, float]) -> str:
    """Writes an accuracy with its interval, in percent: ``61.0 [55, 67]``."""
    low, high = interval
    return f"{100 * mean:.1f} [{100 * low:.0f}, {100 * high:.0f}]"


def over(accuracies: Sequence[float]) -> str:
    """Writes the mean over episodes with half its interval: ``61.0 ±2.1``; of one, the mean."""
    mean, (_, high) = over_episodes(accuracies)
    spread = f" ±{100 * (high - mean):.1f}" if len(accuracies) > 1 else ""
    return f"{100 * mean:.1f}{spread}"


def claim_table(found: Found) -> PaperTable:
    """Accuracies under the strongest attack, and the difference that expansion makes."""
    evaluation, eps = found.auto.evaluation, found.setting.schedule.eps
    lines = []
    for name in evaluation.task.contenders:
        clean = clean_row(evaluation.rows, evaluation.task.name, name).correct
        outcome = _auto(found, name)
        lines.append([name, _wilson(clean), _wilson(outcome), _mean(found.auto, outcome)])
    if all(name in evaluation.task.contenders for name in MAIN):
        first, second = (_auto(found, name) for name in MAIN)
        gain, low, high = paired_difference(first, second)
        told = f"{100 * gain:+.1f} [{100 * low:+.0f}, {100 * high:+.0f}]"
        lines.append(["expanded minus raw", "", told, ""])
    attack = found.auto_name
    return PaperTable(
        f"Expanded against raw anchors: {attack} at {describe_strength('linf', eps)} on unseen "
        f"classes, accuracy in %",
        ["method", "clean", attack, "over episodes"],
        lines,
        f"{len(found.auto.place)} attacked images; 95% Wilson intervals over images, of the "
        "difference over pairs of outcomes; the last column is the mean over episodes (here "
        f"{len(found.auto.episodes)}), which share images.",
    )


def _auto(found: Found, name: str) -> str:
    """What is right clean and under every attack of the strong evaluation."""
    rows = [row for row in found.auto.evaluation.rows if row.defense == name and not row.check]
    return pointwise(row.correct for row in rows)


def zero_shot_table(found: Found, names: Sequence[str], title: str) -> PaperTable:
    """The published attacks, a line a method."""
    evaluation, eps = found.zero_shot.evaluation, found.setting.schedule.eps
    columns = [("fgsm", eps), ("pgd", eps), ("cw_linf", eps), ("pgd", 2 * eps)]
    heads = [
        f"{attack.upper().replace('_', '-')}{steps} {describe_strength('linf', strength)}"
        for (attack, strength), steps in zip(columns, ("", "-20", "-30", "-20"), strict=True)
    ]
    lines = []
    for name in names:
        cells = [_over(found.zero_shot, clean_row(evaluation.rows, evaluation.task.name, name))]
        cells += [_over(found.zero_shot, find_row(evaluation, name, *each)) for each in columns]
        worst = _worst(evaluation.rows, name, eps)
        cells.append(_mean(found.zero_shot, worst))
        lines.append([name, *cells])
    missing = "".join(f" {name}: not run, {why}." for name, why in found.missing.items())
    return PaperTable(
        f"{title}, unseen classes: accuracy in %, mean over {len(found.zero_shot.episodes)} "
        "episodes",
        ["method", "clean", *heads, f"all at {describe_strength('linf', eps)}"],
        lines,
        "95% intervals over episodes; they share images, so other images would differ by more: "
        f"the full table below has Wilson intervals over images. “{SCALED[2:]}”: the same network "
        f"whose logits are a hundred times larger while it is attacked.{missing}",
    )


def _worst(rows: Sequence[Row], name: str, eps: float) -> str:
    """Right clean and under every attack of this radius, those at the other scale included."""
    names = (name, name + SCALED)
    kept = [r for r in rows if r.defense in names and r.strength in (0.0, eps)]
    return pointwise(row.correct for row in kept)


def _over(found: EpisodeEvaluation, row: Row | None) -> str:
    return "-" if row is None else _mean(found, row.correct)


def _mean(found: EpisodeEvaluation, outcome: str) -> str:
    return over(found.accuracies(outcome))


def _wilson(outcome: str) -> str:
    right = outcome.count("1")
    return cell(right / len(outcome), wilson_interval(right, len(outcome)))


def general_table(found: Found) -> PaperTable:
    """Seen and unseen classes together: both accuracies, and their harmonic mean."""
    evaluation, data = found.general, found.setting.data
    eps = found.setting.schedule.eps
    is_seen = (evaluation.task.test.labels < len(data.seen)).tolist()
    lines = []
    for name in evaluation.task.contenders:
        cells = []
        for row in (
            clean_row(evaluation.rows, evaluation.task.name, name),
            find_row(evaluation, name, "pgd", eps),
        ):
            assert row is not None
            shares = []
            for wanted in (True, False):
                own = [c for c, s in zip(row.correct, is_seen, strict=True) if s == wanted]
                shares.append(own.count("1") / len(own))
            total = sum(shares)
            harmonic = 2 * shares[0] * shares[1] / total if total > 0 else 0.0
            cells += [f"{100 * share:.1f}" for share in (*shares, harmonic)]
        lines.append([name, *cells])
    heads = [
        f"{part}{when}" for when in ("", ", attacked") for part in ("seen", "unseen", "harmonic")
    ]
    return PaperTable(
        f"Generalised zero-shot: every image among all {len(evaluation.task.classes)} seen and "
        "unseen classes, accuracy in %",
        ["method", *heads], lines,
        f"{sum(is_seen)} held-out images of seen classes, {len(is_seen) - sum(is_seen)} of unseen. "
        f"Attacked: PGD-20 at {describe_strength('linf', eps)}.",
    )  # fmt: skip


def shots_table(found: Found) -> PaperTable:
    """Few-shot accuracies: prototypes of images, alone and blended with texts."""
    shots = sorted({each.n_shot for each in found.shots})
    keys = dict.fromkeys((each.method, each.kind) for each in found.shots)
    by = {(each.method, each.kind, each.n_shot): each for each in found.shots}
    lines = []
    for method, kind in keys:
        line = [f"{method}, {kind}"]
        for n_shot in shots:
            each = by.get((method, kind, n_shot))
            line.append(
                "-" if each is None
                else f"{100 * over_episodes(each.clean)[0]:.0f} / {over(each.attacked)}"
            )  # fmt: skip
        lines.append(line)
    tick = describe_strength("linf", found.setting.schedule.eps)
    return PaperTable(
        f"Few-shot, unseen classes: accuracy in %, clean / PGD-20 at {tick}",
        ["method", *("zero-shot" if n == 0 else f"{n}-shot" for n in shots)], lines,
        f"{found.sizes.shot_episodes} episodes, each with support images of its own and attacked "
        "anew; 95% intervals over episodes. Blended: 2 * text + n * image mean.",
    )  # fmt: skip


def anchors_table(setting: Setting) -> PaperTable:
    """Mean cosines of anchors: what expansion does, on seen and on unseen classes."""
    data = setting.data
    kinds = ["raw", "expanded", "mmc", *(["sparse"] if setting.concepts is not None else [])]
    parts = {"seen": data.seen, "validation and unseen": (*data.validation_classes, *data.unseen)}
    lines = []
    for kind in kinds:
        anchors = setting.anchors(kind)
        line = [kind]
        for labels in parts.values():
            chosen = anchors[list(labels)]
            between = chosen @ chosen.T
            between.fill_diagonal_(-1.0)
            line.append(f"{mean_cosine(chosen):.3f} (largest {float(between.max()):.3f})")
        lines.append(line)
    expansion = AnchorExpansion.fit(setting.texts.of(data.names(data.seen)))
    degrees = math.degrees(expansion.phi_max)
    return PaperTable(
        "Cosines of two anchors, mean and largest", ["anchors", *parts], lines,
        f"{setting.texts.source}. The farthest seen class is {degrees:.1f} degrees from the mean "
        f"direction, so that expansion multiplies all angles by {expansion.stretch:.2f}.",
    )  # fmt: skip


def budget_table(found: Found) -> PaperTable:
    """What each method is, and how much its training looked at."""
    lines = []
    for name, network in found.networks.items():
        best = network.trained.best_epoch
        score = network.trained.scores[best] if best is not None else 0.0
        lines.append([
            name, METHODS[name].about, f"{network.looks:,}",
            f"{best + 1 if best is not None else '-'} of {len(network.trained.losses)}",
            f"{100 * score:.1f}",
        ])  # fmt: skip
    return PaperTable(
        "Methods and their training",
        ["method", "what it is", "gradients of images", "epoch kept", "robust, validation"],
        lines,
        "The same images, inner attack and number of epochs for all that begin at random weights. "
        "tecoa and fare begin at the trained small CLIP, whose network is larger: they get fewer "
        "epochs. The epoch is chosen on validation classes, which no test has.",
    )


def first_sentence(found: Found) -> str:
    """The claim, as it was found."""
    if not all(name in found.auto.evaluation.task.contenders for name in MAIN):
        return "Expanded and raw anchors were not both trained: nothing is said about the claim."
    first, second = (_auto(found, name) for name in MAIN)
    gain, low, high = paired_difference(first, second)
    n_first, n_second = first.count("1"), second.count("1")
    told = (
        f"Under {found.auto_name}, {n_first} of {len(first)} images of unseen classes stay right "
        f"with expanded anchors and {n_second} with raw ones: a difference of {100 * gain:+.1f} "
        f"points (95% interval {100 * low:+.1f} to {100 * high:+.1f})"
    )
    if low > 0:
        return f"{told}. Expansion helps here."
    if high < 0:
        return f"{told}. Expansion hurts here, against the paper."
    return f"{told}: no difference beyond noise."


def class_names(data: ClassSplit) -> list[tuple[str, str]]:
    """Which classes are which, for the report."""
    return [
        ("seen classes", ", ".join(data.names(data.seen))),
        ("validation classes", ", ".join(data.names(data.validation_classes))),
        ("unseen classes", ", ".join(data.names(data.unseen))),
    ]
