"""Signs that a robustness table cannot be taken at its word."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from sparsedef.evaluation.metrics import paired_excess
from sparsedef.evaluation.rows import UNBOUNDED, Row, describe_strength, pointwise
from sparsedef.evaluation.threats import (
    BPDA,
    CLEAN,
    GRAY_BOX,
    SCORES,
    UNDEFENDED,
    WARM,
    WHITE_BOX,
    WORST_CASE,
    kind_of,
    variants_of,
)

ZERO_SHARE = 0.01
BY_GRADIENT = (WHITE_BOX, BPDA, UNDEFENDED)
USELESS = ("nonfinite-gradient", "zero-gradient")


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
        keys: The rows that it is about (``Row.key``).
    """

    code: str
    task: str
    defense: str
    message: str
    is_serious: bool
    keys: tuple[tuple[Any, ...], ...] = ()

    @property
    def sentence(self) -> str:
        """The finding as a terminal tells it."""
        level = "SERIOUS" if self.is_serious else "note"
        return f"{level}: {self.code}, {self.task}, {self.defense}: {self.message}."

    def to_json(self) -> dict[str, Any]:
        """The finding as plain values."""
        return {
            "code": self.code,
            "task": self.task,
            "defense": self.defense,
            "message": self.message,
            "is_serious": self.is_serious,
        }


def find_flags(rows: list[Row]) -> list[Flag]:
    """Runs every check over a table without worst cases, serious findings first."""
    flags = [
        *_useless_gradients(rows),
        *_more_is_weaker(rows, by="strength"),
        *_more_is_weaker(rows, by="steps"),
        *_adaptive_loses_to_gray_box(rows),
        *_gradient_loses_to_scores(rows),
        *_unbounded_survives(rows),
    ]
    return sorted(flags, key=lambda flag: not flag.is_serious)


def told_once(flags: Sequence[Flag]) -> list[Flag]:
    """Tells a finding that many attacks on one classifier share once, with their number.

    Args:
        flags: In any order; what is told stands where the first of its kind stood.
    """
    kinds: dict[tuple[str, str, str, bool], list[Flag]] = {}
    for flag in flags:
        kinds.setdefault((flag.code, flag.task, flag.defense, flag.is_serious), []).append(flag)
    told = []
    for first, *others in kinds.values():
        more = f" (and {len(others)} more attacks alike)" if others else ""
        told.append(replace(first, message=first.message + more))
    return told


def voids(rows: list[Row], flags: Iterable[Flag], task: str, defense: str) -> set[str]:
    """Codes of what forbids to quote this classifier's worst case as its robustness.

    Serious findings do, except useless gradients of one attack where another one, which knows the
    classifier too, had healthy ones.
    """
    own = [f for f in flags if f.is_serious and (f.task, f.defense) == (task, defense)]
    useless = {key for f in own if f.code in USELESS for key in f.keys}
    is_healthy = any(
        row.gradients > 0 and row.key not in useless
        for row in _attacked(rows)
        if (row.task, row.defense) == (task, defense) and kind_of(row.threat_model) in BY_GRADIENT
    )
    return {f.code for f in own if f.code not in USELESS or not is_healthy}


def codes_of(row: Row, rows: list[Row], flags: Iterable[Flag]) -> list[str]:
    """Codes of the flags about ``row``; a worst case carries what voids it."""
    if row.threat_model == WORST_CASE:
        return sorted(voids(rows, flags, row.task, row.defense))
    return sorted({flag.code for flag in flags if row.key in flag.keys})


def _title(row: Row) -> str:
    strength = describe_strength(row.norm, row.strength)
    return f"{row.attack_title} ({row.threat_model}) at {strength}"


def _flag(code: str, row: Row, message: str, is_serious: bool, *others: Row) -> Flag:
    keys = tuple(each.key for each in (row, *others))
    return Flag(code, row.task, row.defense, message, is_serious, keys)


def _useless_gradients(rows: list[Row]) -> list[Flag]:
    flags = []
    for row in rows:
        if row.nonfinite_gradients:
            share = row.nonfinite_gradients / row.gradients
            message = f"{_title(row)}: {share:.1%} of its gradients held NaN or infinity"
            flags.append(_flag("nonfinite-gradient", row, message, True))
        if row.zero_gradients:
            share = row.zero_gradients / row.gradients
            message = f"{_title(row)}: {share:.1%} of its gradients were zero everywhere"
            flags.append(_flag("zero-gradient", row, message, share > ZERO_SHARE))
    return flags


def _attacked(rows: list[Row]) -> list[Row]:
    return [r for r in rows if r.threat_model not in (CLEAN, WORST_CASE) and r.check != UNBOUNDED]


def _groups(rows: Iterable[Row], *names: str) -> list[list[Row]]:
    """Rows that share the attributes ``names``, in order of appearance."""
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(getattr(row, name) for name in names)].append(row)
    return list(found.values())


def _more_is_weaker(rows: list[Row], by: str) -> list[Flag]:
    """A larger radius, or more steps, of the same attack that leave more images right."""
    flags = []
    same = ("task", "defense", "attack", "threat_model", "norm", "strength", "steps", "source")
    for members in _groups(_attacked(rows), *(name for name in same if name != by)):
        for less, more in pairwise(sorted(members, key=lambda row: getattr(row, by))):
            excess, is_beyond_noise = paired_excess(more.correct, less.correct)
            if excess > 0 and is_beyond_noise:
                which = (
                    f"at {describe_strength(less.norm, less.strength)}" if by == "strength"
                    else f"of {less.steps} steps"
                )  # fmt: skip
                message = (
                    f"{_title(more)} leaves {more.accuracy:.1%} right, more than the "
                    f"{less.accuracy:.1%} {which}"
                )
                code = {"strength": "stronger-is-weaker", "steps": "longer-is-weaker"}[by]
                flags.append(_flag(code, more, message, True, less))
    return flags


def _adaptive_loses_to_gray_box(rows: list[Row]) -> list[Flag]:
    """Who knows the defense can also make the gray-box images: if he does worse, gradients mislead.

    Serious unless attacks begun at the gray-box images make good for it.
    """
    flags = []
    for here in _groups(_attacked(rows), "task", "defense", "norm", "strength"):
        adaptive = [r for r in here if kind_of(r.threat_model) in (WHITE_BOX, BPDA)]
        cold = [r for r in adaptive if WARM not in variants_of(r.threat_model)]
        gray = [r for r in here if r.threat_model == GRAY_BOX]
        if not cold or not gray:
            continue
        by_gray = pointwise(r.correct for r in gray)
        excess, is_beyond_noise = paired_excess(pointwise(r.correct for r in cold), by_gray)
        if excess <= 0:
            continue
        left = paired_excess(pointwise(r.correct for r in adaptive), by_gray)
        how = "within noise" if not is_beyond_noise else "their gradients mislead"
        if len(adaptive) > len(cold):
            how += (
                f"; begun at the gray-box images they leave {abs(left[0])} "
                f"{'more' if left[0] > 0 else 'fewer'}"
            )
        message = (
            f"At {describe_strength(here[0].norm, here[0].strength)} ({here[0].norm}) adaptive "
            f"attacks begun at the clean images leave {excess} of {len(by_gray)} images more than "
            f"gray-box ones: {how}; the worst case is the figure to quote"
        )
        is_serious = left[0] > 0 and left[1]
        flags.append(_flag("adaptive-loses", cold[0], message, is_serious, *cold[1:]))
    return flags


def _gradient_loses_to_scores(rows: list[Row]) -> list[Flag]:
    """An attack without gradients that finds more than all with them: gradients are masked."""
    flags = []
    for here in _groups(_attacked(rows), "task", "defense", "norm", "strength"):
        # a warm start may have won without any gradient through the defense
        by_gradient = [
            r for r in here
            if kind_of(r.threat_model) in BY_GRADIENT and WARM not in variants_of(r.threat_model)
        ]  # fmt: skip
        for row in here:
            if row.threat_model != SCORES or not by_gradient:
                continue
            best = pointwise(r.correct for r in by_gradient)
            excess, is_beyond_noise = paired_excess(best, row.correct)
            if excess > 0:
                message = (
                    f"{_title(row)} leaves {row.accuracy:.1%} right, {excess} of {row.n} images "
                    f"fewer than all attacks with gradients together"
                    f"{': the gradients are masked' if is_beyond_noise else ' (within noise)'}"
                )
                flags.append(_flag("scores-beat-gradients", row, message, is_beyond_noise,
                                   *by_gradient))  # fmt: skip
    return flags


def _unbounded_survives(rows: list[Row]) -> list[Flag]:
    """A radius that allows almost any image: whoever asks must end at 0, by one attack at least."""
    flags = []
    checks = [row for row in rows if row.check == UNBOUNDED and row.n_right > 0]
    for here in _groups([r for r in rows if r.check == UNBOUNDED], "task", "defense"):
        left = pointwise(row.correct for row in here).count("1") / here[0].n
        for row in here:
            if row in checks:
                message = (
                    f"{_title(row)}, which allows almost any image, still leaves "
                    f"{row.accuracy:.1%} right: the attack, not the defense, is what stops"
                )
                flags.append(_flag("unbounded-survives", row, message, left > ZERO_SHARE))
    return flags
