"""Signs that a robustness table cannot be taken at its word."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from sparsedef.evaluation.metrics import paired_excess
from sparsedef.evaluation.rows import (
    ADAPTIVE,
    ADAPTIVE_IDENTITY,
    CLEAN,
    GRAY_BOX,
    WORST_CASE,
    Row,
    describe_strength,
)

ZERO_SHARE = 0.01


@dataclass(frozen=True)
class Flag:
    """One thing that is wrong, or would be if it were larger.

    Args:
        code: Short name of the check.
        task: Data set.
        defense: Which classifier.
        message: What was seen, in a sentence with its numbers.
        is_serious: Voids the accuracy of that attack as a measure of robustness; otherwise it is
            within noise or small, and only told.
    """

    code: str
    task: str
    defense: str
    message: str
    is_serious: bool


def find_flags(rows: list[Row]) -> list[Flag]:
    """Runs every check over a table, serious findings first."""
    flags = [
        *_useless_gradients(rows),
        *_stronger_is_weaker(rows),
        *_adaptive_loses_to_gray_box(rows),
        *_sanity_not_zero(rows),
    ]
    return sorted(flags, key=lambda flag: not flag.is_serious)


def _title(row: Row) -> str:
    strength = describe_strength(row.norm, row.strength)
    return f"{row.attack_title} ({row.threat_model}) at {strength}"


def _useless_gradients(rows: list[Row]) -> list[Flag]:
    flags = []
    for row in rows:
        if row.nonfinite_gradients:
            share = row.nonfinite_gradients / row.gradients
            message = f"{_title(row)}: {share:.1%} of its gradients held NaN or infinity"
            flags.append(Flag("nonfinite-gradient", row.task, row.defense, message, True))
        if row.zero_gradients:
            share = row.zero_gradients / row.gradients
            message = f"{_title(row)}: {share:.1%} of its gradients were zero everywhere"
            flags.append(Flag("zero-gradient", row.task, row.defense, message, share > ZERO_SHARE))
    return flags


def _stronger_is_weaker(rows: list[Row]) -> list[Flag]:
    flags = []
    series: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row.threat_model not in (CLEAN, WORST_CASE) and not row.is_sanity:
            key = (row.task, row.defense, row.attack, row.threat_model, row.norm)
            series.setdefault(key, []).append(row)
    for members in series.values():
        members = sorted(members, key=lambda row: row.strength)
        for weaker, stronger in pairwise(members):
            excess, is_beyond_noise = paired_excess(stronger.correct, weaker.correct)
            if excess > 0 and is_beyond_noise:
                message = (
                    f"{_title(stronger)} leaves {stronger.accuracy:.1%} right, more than the "
                    f"{weaker.accuracy:.1%} at {describe_strength(weaker.norm, weaker.strength)}"
                )
                flags.append(Flag("stronger-is-weaker", weaker.task, weaker.defense, message, True))
    return flags


def _adaptive_loses_to_gray_box(rows: list[Row]) -> list[Flag]:
    """Who knows the defense can also make the gray-box images: if he does worse, gradients mislead.

    Attacks begun at the gray-box images cannot lose to them, so they are left out.
    """
    flags = []
    keys = dict.fromkeys(
        (r.task, r.defense, r.norm, r.strength) for r in rows if r.threat_model == GRAY_BOX
    )
    for task, defense, norm, strength in keys:
        here = [r for r in rows if (r.task, r.defense, r.norm, r.strength)
                == (task, defense, norm, strength) and not r.is_sanity]  # fmt: skip
        adaptive = [r.correct for r in here if r.threat_model in (ADAPTIVE, ADAPTIVE_IDENTITY)]
        gray = [r.correct for r in here if r.threat_model == GRAY_BOX]
        if not adaptive:
            continue
        by_adaptive, by_gray = _pointwise(adaptive), _pointwise(gray)
        excess, is_beyond_noise = paired_excess(by_adaptive, by_gray)
        if excess > 0:
            message = (
                f"At {describe_strength(norm, strength)} ({norm}) adaptive attacks begun at the "
                f"clean images leave {excess} of {len(by_gray)} images more than gray-box ones"
                f"{' (within noise)' if not is_beyond_noise else ': their gradients mislead'}; "
                f"the worst case is the figure to quote"
            )
            flags.append(Flag("adaptive-loses", task, defense, message, is_beyond_noise))
    return flags


def _sanity_not_zero(rows: list[Row]) -> list[Flag]:
    return [
        Flag(
            "unbounded-survives",
            row.task,
            row.defense,
            f"{_title(row)}, which allows almost any image, still leaves {row.accuracy:.1%} right: "
            f"the attack, not the defense, is what stops",
            row.accuracy > ZERO_SHARE,
        )
        for row in rows
        if row.is_sanity and row.n_right > 0
    ]


def _pointwise(outcomes: list[str]) -> str:
    return "".join(min(outcome) for outcome in zip(*outcomes, strict=True))
