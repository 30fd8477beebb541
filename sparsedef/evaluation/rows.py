"""The rows of a robustness table: one classifier, one way of attacking it, one strength."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sparsedef.evaluation.metrics import wilson_interval
from sparsedef.evaluation.threats import CLEAN, GRAY_BOX, KNOWING, WORST_CASE, is_known, kind_of

UNBOUNDED = "unbounded"  # a radius that allows almost any image must fool everything
LONGER = "longer"  # more steps of the same attack must not help the defense
SEMANTIC = "semantic"  # edits without a radius in pixels; their one strength is the whole set
WHOLE = 1.0


@dataclass(frozen=True)
class Row:
    """One cell of the table, with the outcome on every sample.

    Args:
        task: Data set.
        defense: What the image passes before it is classified; ``"none"`` for nothing.
        attack: Name of the attack and, where it differs from the default, its loss; empty for
            clean images and for the worst case.
        threat_model: What the attacker knows: see ``threats``.
        norm: ``"linf"``, ``"l2"``, or another measure of strength by its own name; L2 strengths
            are relative to the mean norm of the test images. ``"semantic"``: edits that have no
            radius.
        strength: Radius of the perturbation; of semantic edits ``WHOLE``, ``null`` in JSON.
        correct: ``"1"`` or ``"0"`` per sample, in the order of the task's sample ids; of a random
            defense, right in more than half of the final draws.
        steps: Gradients, or queries, that the attack takes per image; 0: not counted.
        source: The classifier that a transferred attack was made on.
        gradients: Gradients that the attack took, counted per image and step.
        zero_gradients: How many of them were zero everywhere.
        nonfinite_gradients: How many of them held NaN or infinity.
        check: Why it was run, if not for its result: ``"unbounded"`` (excluded from curves and
            worst cases) or ``"longer"``.
        draws: Final draws per sample; 1 where nothing is random.
        right_draws: Right answers over all samples and draws.
        always: Samples that are right in every draw.
    """

    task: str
    defense: str
    attack: str
    threat_model: str
    norm: str
    strength: float
    correct: str
    steps: int = 0
    source: str = ""
    gradients: int = 0
    zero_gradients: int = 0
    nonfinite_gradients: int = 0
    check: str = ""
    draws: int = 1
    right_draws: int = -1
    always: int = -1

    def __post_init__(self) -> None:
        """Rejects what the table could not be read with; what draws add is plain for one draw."""
        assert is_known(self.threat_model), self.threat_model
        assert self.correct
        assert set(self.correct) <= {"0", "1"}
        assert self.check in ("", UNBOUNDED, LONGER)
        if self.draws == 1:
            object.__setattr__(self, "right_draws", self.n_right)
            object.__setattr__(self, "always", self.n_right)
        assert 0 <= self.always <= self.n
        assert 0 <= self.right_draws <= self.n * self.draws

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells this row from every other one of its table."""
        return (self.task, self.defense, self.attack, self.threat_model, self.norm, self.strength,
                self.steps, self.source)  # fmt: skip

    @property
    def attack_title(self) -> str:
        """The attack's name as papers write it, such as ``PGD-20``; the worst case is ``all``."""
        if not self.attack:
            return "all"
        steps = f"-{self.steps}" if self.steps > 1 else ""
        source = f" on {self.source}" if self.source else ""
        return f"{self.attack.upper().replace('_', '-')}{steps}{source}"

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
            "strength": None if self.norm == SEMANTIC else self.strength,
            "n": self.n,
            "accuracy": self.accuracy,
            "ci_low": low,
            "ci_high": high,
            "accuracy_over_draws": self.right_draws / (self.n * self.draws),
            "accuracy_in_every_draw": self.always / self.n,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Row:
        """Reads what ``to_json`` wrote."""
        known = {name: values[name] for name in cls.__dataclass_fields__}
        if known["norm"] == SEMANTIC:
            known["strength"] = WHOLE
        return cls(**known)


def join(parts: Sequence[Row]) -> Row:
    """Joins the same row of several groups of samples, in the order given."""
    first = parts[0]
    assert all(part.key == first.key and part.draws == first.draws for part in parts)
    sums = ("gradients", "zero_gradients", "nonfinite_gradients", "right_draws", "always")
    return replace(
        first,
        correct="".join(part.correct for part in parts),
        **{name: sum(getattr(part, name) for part in parts) for name in sums},
    )


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
    the larger ball). Rows of the check ``"unbounded"`` are left out, and so is a defense that no
    attack of that norm knew: gray-box attacks alone are no worst case.

    Returns:
        One row of threat model ``WORST_CASE`` for each strength.
    """
    known = {(r.task, r.defense, r.norm) for r in rows if kind_of(r.threat_model) in KNOWING}
    return [row for row in _add_up(rows) if (row.task, row.defense, row.norm) in known]


def gray_box_worst_cases(rows: list[Row]) -> list[Row]:
    """Adds up the gray-box attacks alone, as :func:`worst_cases` does all: what flatters."""
    return _add_up([row for row in rows if kind_of(row.threat_model) in (CLEAN, GRAY_BOX)])


def pointwise(outcomes: Iterable[str]) -> str:
    """Combines outcomes on the same samples: right where all are."""
    return "".join(min(outcome) for outcome in zip(*outcomes, strict=True))


def _add_up(rows: list[Row]) -> list[Row]:
    attacked = [r for r in rows if r.threat_model not in (CLEAN, WORST_CASE)]
    attacked = [r for r in attacked if r.check != UNBOUNDED]
    found = []
    for task, defense, norm in dict.fromkeys((r.task, r.defense, r.norm) for r in attacked):
        group = [r for r in attacked if (r.task, r.defense, r.norm) == (task, defense, norm)]
        clean = clean_row(rows, task, defense).correct
        for strength in sorted({row.strength for row in group}):
            inside = [row.correct for row in group if row.strength <= strength]
            correct = pointwise([clean, *inside])
            found.append(Row(task, defense, "", WORST_CASE, norm, strength, correct))
    return found


def describe_strength(norm: str, strength: float) -> str:
    """Writes a strength as readers of papers expect: ``8/255``, or a share of the mean norm."""
    if norm == SEMANTIC:
        return "edited"
    if norm != "linf":
        return f"{strength:g}"
    levels = strength * 255
    return f"{round(levels)}/255" if math.isclose(levels, round(levels), abs_tol=1e-6) else (
        f"{strength:g}"
    )  # fmt: skip
