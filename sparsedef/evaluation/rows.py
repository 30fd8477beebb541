"""The rows of a robustness table: one classifier, one way of attacking it, one strength."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sparsedef.evaluation.metrics import wilson_interval

CLEAN = "clean"
WHITE_BOX = "white-box, no defense"
GRAY_BOX = "gray-box"
ADAPTIVE = "adaptive"
ADAPTIVE_WARM = "adaptive, from gray-box images"
ADAPTIVE_IDENTITY = "adaptive, identity gradient"
WORST_CASE = "worst case"

THREAT_MODELS = {
    WORST_CASE: "each image counts as wrong if any attack of this table, of this strength or "
    "less, fooled this classifier on it",
    ADAPTIVE: "the attack differentiates through the whole defense, knowing everything",
    ADAPTIVE_WARM: "the same, begun at the gray-box images of the same attack instead of the clean "
    "ones",
    ADAPTIVE_IDENTITY: "the attack runs the defense but takes its gradient to be the identity "
    "(BPDA): a cross-check of the exact gradient",
    WHITE_BOX: "there is no defense, and the attack knows the classifier",
    GRAY_BOX: "the attack knows the classifier but not the defense: made on the bare classifier, "
    "scored behind the defense. Not a measure of robustness",
    CLEAN: "no attack",
}

ADAPTIVE_KINDS = (ADAPTIVE, ADAPTIVE_WARM, ADAPTIVE_IDENTITY)
KNOWING_KINDS = (WHITE_BOX, *ADAPTIVE_KINDS)


@dataclass(frozen=True)
class Row:
    """One cell of the table, with the outcome on every sample.

    Args:
        task: Data set.
        defense: What the image passes before it is classified; ``"none"`` for nothing.
        attack: Name of the attack; empty for clean images and for the worst case.
        threat_model: What the attacker knows: one of ``THREAT_MODELS``.
        norm: ``"linf"`` or ``"l2"``; L2 strengths are relative to each image's own norm.
        strength: Radius of the perturbation.
        correct: ``"1"`` or ``"0"`` per sample, in the order of the task's sample ids.
        gradients: Gradients that the attack took, counted per image and step.
        zero_gradients: How many of them were zero everywhere.
        nonfinite_gradients: How many of them held NaN or infinity.
        is_sanity: A check of the attack, not a result: excluded from curves and worst cases.
    """

    task: str
    defense: str
    attack: str
    threat_model: str
    norm: str
    strength: float
    correct: str
    gradients: int = 0
    zero_gradients: int = 0
    nonfinite_gradients: int = 0
    is_sanity: bool = False

    def __post_init__(self) -> None:
        """Rejects what the table could not be read with."""
        assert self.threat_model in THREAT_MODELS, self.threat_model
        assert self.correct
        assert set(self.correct) <= {"0", "1"}

    @property
    def attack_title(self) -> str:
        """The attack's name as papers write it; ``"all"`` for the worst case."""
        return self.attack.upper().replace("_", "-") or "all"

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.correct)

    @property
    def n_right(self) -> int:
        """Number of samples that are still classified rightly."""
        return self.correct.count("1")

    @property
    def accuracy(self) -> float:
        """Share of all samples, clean errors included, that are classified rightly."""
        return self.n_right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95% Wilson interval of the accuracy."""
        return wilson_interval(self.n_right, self.n)

    def to_json(self) -> dict[str, Any]:
        """The row as plain values, with what follows from them."""
        low, high = self.interval
        return asdict(self) | {
            "n": self.n,
            "accuracy": self.accuracy,
            "ci_low": low,
            "ci_high": high,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Row:
        """Reads what ``to_json`` wrote."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})


def clean_row(rows: Iterable[Row], task: str, defense: str) -> Row:
    """Finds the row of clean images."""
    for row in rows:
        if (row.task, row.defense, row.threat_model) == (task, defense, CLEAN):
            return row
    raise KeyError(f"no clean row for {task}, {defense}")


def worst_cases(rows: list[Row]) -> list[Row]:
    """Adds up what every attack did to each classifier, image by image.

    For each task, defense, norm and strength: a sample counts as right only if it is right clean
    and under every attack of that norm whose strength is no larger (weaker attacks stay inside
    the larger ball). Sanity rows are left out, and so is a defense that no attack of that norm
    knew: gray-box attacks alone are no worst case.

    Returns:
        One row of threat model ``WORST_CASE`` for each strength.
    """
    known = {(r.task, r.defense, r.norm) for r in rows if r.threat_model in KNOWING_KINDS}
    return [row for row in _add_up(rows) if (row.task, row.defense, row.norm) in known]


def gray_box_worst_cases(rows: list[Row]) -> list[Row]:
    """Adds up the gray-box attacks alone, as :func:`worst_cases` does all: what flatters."""
    return _add_up([row for row in rows if row.threat_model in (CLEAN, GRAY_BOX)])


def _add_up(rows: list[Row]) -> list[Row]:
    attacked = [row for row in rows if row.threat_model != CLEAN and not row.is_sanity]
    found = []
    for task, defense, norm in dict.fromkeys((r.task, r.defense, r.norm) for r in attacked):
        group = [r for r in attacked if (r.task, r.defense, r.norm) == (task, defense, norm)]
        clean = clean_row(rows, task, defense).correct
        for strength in sorted({row.strength for row in group}):
            inside = [row.correct for row in group if row.strength <= strength]
            correct = "".join(min(outcome) for outcome in zip(clean, *inside, strict=True))
            found.append(Row(task, defense, "", WORST_CASE, norm, strength, correct))
    return found


def describe_strength(norm: str, strength: float) -> str:
    """Writes a strength as readers of papers expect: ``8/255``, or a share of the image's norm."""
    if norm != "linf":
        return f"{strength:g}"
    levels = strength * 255
    return f"{round(levels)}/255" if math.isclose(levels, round(levels), abs_tol=1e-6) else (
        f"{strength:g}"
    )  # fmt: skip
