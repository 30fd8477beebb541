"""What a robustness table says, in sentences made from its numbers."""

from __future__ import annotations

from dataclasses import dataclass

from sparsedef.evaluation.metrics import paired_excess
from sparsedef.evaluation.rows import (
    ADAPTIVE_KINDS,
    GRAY_BOX,
    WHITE_BOX,
    WORST_CASE,
    Row,
    clean_row,
    describe_strength,
)


@dataclass(frozen=True)
class Reading:
    """The reading of one task at one strength.

    Args:
        task: Data set.
        defense: The defense that is read.
        norm: Of the strength.
        strength: At which the numbers are read.
        clean: Row of clean images behind the defense.
        bare: Lowest accuracy without a defense, over the attacks at this strength.
        gray_box: Lowest gray-box accuracy.
        adaptive: Lowest accuracy under adaptive attacks, of every kind.
        worst: Pointwise worst case.
        bare_worst: Pointwise worst case without a defense.
        sentences: The reading.
    """

    task: str
    defense: str
    norm: str
    strength: float
    clean: Row
    bare: Row
    gray_box: Row
    adaptive: Row
    worst: Row
    bare_worst: Row
    sentences: tuple[str, ...]


def percent(share: float) -> str:
    """Writes a share as ``12.3%``."""
    return f"{100 * share:.1f}%"


def points(difference: float) -> str:
    """Writes a difference of shares in percentage points."""
    size = f"{100 * abs(difference):.1f}"
    return f"{size} point" if size == "1.0" else f"{size} points"


def read(rows: list[Row], task: str, defense: str, norm: str, strength: float) -> Reading:
    """Reads one task at one strength; ``rows`` must hold the worst cases too.

    Raises:
        ValueError: The table has no gray-box, adaptive or undefended row at that strength.
    """
    here = [r for r in rows if (r.task, r.norm, r.strength) == (task, norm, strength)]
    here = [r for r in here if not r.is_sanity]
    bare = _lowest(here, "none", WHITE_BOX)
    gray = _lowest(here, defense, GRAY_BOX)
    adaptive = _lowest(here, defense, *ADAPTIVE_KINDS)
    worst = _lowest(here, defense, WORST_CASE)
    bare_worst = _lowest(here, "none", WORST_CASE)
    clean, bare_clean = clean_row(rows, task, defense), clean_row(rows, task, "none")
    sentences = (
        _on_clean(clean, bare_clean),
        _on_gray_box(bare, gray),
        _on_adaptive(bare, gray, adaptive),
        _on_worst(bare_worst, worst),
    )
    return Reading(
        task, defense, norm, strength, clean, bare, gray, adaptive, worst, bare_worst, sentences
    )


def _lowest(rows: list[Row], defense: str, *threat_models: str) -> Row:
    found = [r for r in rows if r.defense == defense and r.threat_model in threat_models]
    if not found:
        raise ValueError(f"read: the table must have rows of {threat_models} for {defense}")
    return min(found, key=lambda row: row.accuracy)


def _interval(row: Row) -> str:
    low, high = row.interval
    return f"{percent(row.accuracy)} ({percent(low)} to {percent(high)})"


def _on_clean(clean: Row, bare: Row) -> str:
    change = clean.accuracy - bare.accuracy
    price = (
        "costs nothing on clean images" if change == 0
        else f"{'costs' if change < 0 else 'gains'} {points(change)} on clean images"
    )  # fmt: skip
    return (
        f"The defense {price}: {percent(bare.accuracy)} without it, {percent(clean.accuracy)} "
        f"behind it."
    )


def _on_gray_box(bare: Row, gray: Row) -> str:
    strength = describe_strength(gray.norm, gray.strength)
    gain = gray.accuracy - bare.accuracy
    excess, is_beyond_noise = paired_excess(gray.correct, bare.correct)
    start = (
        f"At {strength}, the strongest attack on the bare classifier ({bare.attack_title}) leaves "
        f"{percent(bare.accuracy)} right. Gray-box, which is how defenses of this kind were "
        f"published, the worst attack ({gray.attack_title}) leaves {percent(gray.accuracy)} "
        f"behind the defense"
    )
    if excess > 0 and is_beyond_noise:
        return f"{start}: an apparent gain of {points(gain)}."
    if excess > 0:
        return f"{start}: {points(gain)} more, within noise."
    return f"{start}: no gain to begin with."


def _on_adaptive(bare: Row, gray: Row, adaptive: Row) -> str:
    excess, is_beyond_noise = paired_excess(gray.correct, adaptive.correct)
    gain, lost = gray.accuracy - bare.accuracy, gray.accuracy - adaptive.accuracy
    start = (
        f"An attacker who differentiates through the defense ({adaptive.attack_title}, "
        f"{adaptive.threat_model}) leaves {percent(adaptive.accuracy)}"
    )
    if excess <= 0:
        return (
            f"{start}, no fewer than the gray-box attack does. That does not show that the "
            f"defense holds: a stronger adaptive attack may be missing."
        )
    took = f"{start}: {points(lost)} fewer than gray-box"
    if not is_beyond_noise:
        took += " (within noise)"
    if gain <= 0:
        return f"{took}."
    share = min(1.0, lost / gain)
    how = "all" if share >= 0.995 else f"{100 * share:.0f}%"
    return f"{took}, which takes away {how} of the gray-box gain."


def _on_worst(bare: Row, worst: Row) -> str:
    excess, is_beyond_noise = paired_excess(worst.correct, bare.correct)
    start = (
        f"Image by image, counting any attack that worked, {_interval(worst)} remain behind the "
        f"defense and {_interval(bare)} without it: that is the figure to quote"
    )
    if excess > 0 and is_beyond_noise:
        return (
            f"{start}. The difference, {points(worst.accuracy - bare.accuracy)}, is beyond noise "
            f"on these images and against these attacks; stronger attacks can only lower it."
        )
    if excess > 0:
        return f"{start}. The difference is within noise."
    return f"{start}. The defense does not help."
