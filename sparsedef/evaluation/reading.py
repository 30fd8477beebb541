"""What a robustness table says, in sentences made from its numbers."""

from __future__ import annotations

from dataclasses import dataclass

from sparsedef.evaluation.metrics import paired_excess
from sparsedef.evaluation.rows import UNBOUNDED, Row, clean_row, describe_strength
from sparsedef.evaluation.threats import (
    ADAPTIVE,
    GRAY_BOX,
    UNDEFENDED,
    WORST_CASE,
    kind_of,
)


@dataclass(frozen=True)
class Reading:
    """The reading of one defense at one strength.

    Args:
        task: Data set.
        defense: The defense that is read.
        norm: Of the strength.
        strength: At which the numbers are read.
        clean: Row of clean images behind the defense.
        bare: Lowest accuracy without a defense, over the attacks at this strength.
        gray_box: Lowest gray-box accuracy; ``None`` where no gray-box attack was scored.
        adaptive: Lowest accuracy under attacks that know the defense, of every kind.
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
    gray_box: Row | None
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


def reading_strength(rows: list[Row], task: str, norm: str) -> float | None:
    """Chooses the strength at which the bare classifier's worst case is nearest to half right.

    So no defense has a say in which strength is read.

    Returns:
        ``None`` if the table has no worst case of the bare classifier.
    """
    bare = [
        r for r in rows
        if (r.task, r.defense, r.norm, r.threat_model) == (task, "none", norm, WORST_CASE)
    ]  # fmt: skip
    return min(bare, key=lambda row: abs(row.accuracy - 0.5)).strength if bare else None


def read(rows: list[Row], task: str, defense: str, norm: str, strength: float) -> Reading:
    """Reads one defense at one strength; ``rows`` must hold the worst cases too.

    Raises:
        ValueError: The table has no adaptive or undefended row at that strength.
    """
    here = [r for r in rows if (r.task, r.norm, r.strength) == (task, norm, strength)]
    here = [r for r in here if r.check != UNBOUNDED]
    bare = _lowest(here, "none", UNDEFENDED)
    gray = min(_rows_of(here, defense, GRAY_BOX), key=lambda row: row.accuracy, default=None)
    adaptive = _lowest(here, defense, *ADAPTIVE)
    worst = _lowest(here, defense, WORST_CASE)
    bare_worst = _lowest(here, "none", WORST_CASE)
    clean, bare_clean = clean_row(rows, task, defense), clean_row(rows, task, "none")
    sentences = [_on_clean(clean, bare_clean)]
    if gray is None:
        sentences.append(_on_knowing(bare, adaptive))
    else:
        sentences += [_on_gray_box(bare, gray), _on_adaptive(bare, gray, adaptive)]
    sentences.append(_on_worst(bare_worst, worst))
    return Reading(
        task, defense, norm, strength, clean, bare, gray, adaptive, worst, bare_worst,
        tuple(sentences),
    )  # fmt: skip


def _rows_of(rows: list[Row], defense: str, *kinds: str) -> list[Row]:
    return [r for r in rows if r.defense == defense and kind_of(r.threat_model) in kinds]


def _lowest(rows: list[Row], defense: str, *kinds: str) -> Row:
    found = _rows_of(rows, defense, *kinds)
    if not found:
        raise ValueError(f"read: the table must have rows of {kinds} for {defense}")
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


def _strongest(bare: Row) -> str:
    return (
        f"At {describe_strength(bare.norm, bare.strength)}, the strongest attack on the bare "
        f"classifier ({bare.attack_title}) leaves {percent(bare.accuracy)} right."
    )


def _on_knowing(bare: Row, adaptive: Row) -> str:
    return (
        f"{_strongest(bare)} The strongest one that knows this classifier "
        f"({adaptive.attack_title}, {adaptive.threat_model}) leaves {percent(adaptive.accuracy)}."
    )


def _on_gray_box(bare: Row, gray: Row) -> str:
    gain = gray.accuracy - bare.accuracy
    excess, is_beyond_noise = paired_excess(gray.correct, bare.correct)
    start = (
        f"{_strongest(bare)} Gray-box, which is how defenses of this kind were "
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
        f"The strongest attack that knows the defense ({adaptive.attack_title}, "
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
