"""What SSD's tables say, in sentences made from their numbers; no finding is written down here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sparsedef.evaluation import Row, paired_excess, worst_cases
from sparsedef.evaluation.metrics import paired_difference
from sparsedef.evaluation.rows import SEMANTIC, pointwise
from sparsedef.evaluation.threats import CLEAN, SCORES, WHITE_BOX, WORST_CASE, kind_of
from sparsedef.reproduce.ssd_attacks import ASCENT, NAMED
from sparsedef.reproduce.ssd_duel import Duel
from sparsedef.reproduce.ssd_heads import HALF
from sparsedef.reproduce.ssd_search import Outcome
from sparsedef.reproduce.ssd_theory import Moved

MOST_NAMED = 6  # conditions in a sentence
RIVALS_TOLD = {
    "dense_concepts": "the dense head on the same concepts",
    "zero_shot": "zero-shot",
    "linear_probe": "the probe on the embedding",
}


def percent(outcome: str) -> str:
    """Writes the share of ``"1"``."""
    return f"{100 * outcome.count('1') / len(outcome):.0f} %"


def compare(first: str, second: str) -> str:
    """Writes the difference of two outcomes on the same scenes, with its interval."""
    difference, low, high = paired_difference(first, second)
    _, is_beyond_noise = paired_excess(first, second)
    noise = "" if is_beyond_noise else ", within noise"
    return f"{100 * difference:+.0f} points [{100 * low:+.0f} to {100 * high:+.0f}]{noise}"


def read_head(task: str, head: str, rows: Sequence[Row]) -> list[str]:
    """Says who is left with what under the worst of all attacks, and what gradients missed."""
    own = [row for row in rows if row.task == task]
    worst = {
        row.defense: row.correct for row in worst_cases(own)
        if (row.norm, row.threat_model) == (SEMANTIC, WORST_CASE)
    }  # fmt: skip
    ssd = worst["ssd"]
    told = ", ".join(f"{about} {percent(worst[name])}" for name, about in RIVALS_TOLD.items())
    gaps = "; ".join(
        f"minus {about} {compare(ssd, worst[name])}" for name, about in RIVALS_TOLD.items()
    )
    alone = pointwise(
        row.correct for row in own
        if row.defense == "ssd" and kind_of(row.threat_model) in (CLEAN, SCORES, WHITE_BOX)
        and row.norm in (SEMANTIC, "linf") and row.attack != "pgd-margin"
    )  # fmt: skip
    return [
        f"{head.capitalize()} heads, worst of all semantic attacks: SSD keeps {percent(ssd)} "
        f"right, {told}. SSD {gaps}.",
        f"{head.capitalize()} heads: searches and SSD's own gradients leave it {percent(alone)}; "
        f"with what its dense stand-in and the other classifiers give away it is {percent(ssd)}.",
    ]


def read_reasons(
    head: str, moved: Sequence[Moved], geometry: Mapping[str, Any], rows: Sequence[Row], task: str
) -> list[str]:
    """Says how the theory stands to the figures of one head."""
    by_name = {each.attack: each for each in moved}
    named, ascent = by_name[NAMED], by_name[ASCENT]
    ssd = geometry["ssd"][head]
    atoms = geometry["dictionaries"]["shapeworld, distinct"]
    half = next(
        row.correct for row in worst_cases([row for row in rows if row.task == task])
        if (row.defense, row.norm) == (HALF, SEMANTIC)
    )  # fmt: skip
    return [
        f"{head.capitalize()} heads, why: of the strongest named edit, {named.share_in_span:.0%} "
        f"of the squared change of the embedding lies in the span of the atoms (ascent: "
        f"{ascent.share_in_span:.0%}), so the residual absorbs the rest only. Yet one atom sees "
        f"little: eta is {named.leak:.3f} ({ascent.leak:.3f}) in the median, alpha "
        f"{ssd['alpha']:.3f}; supports overlap by {named.jaccard:.2f} ({ascent.jaccard:.2f}). The "
        f"{atoms['n_atoms']} atoms have an effective rank of {atoms['effective_rank']:.1f} and a "
        f"coherence of {atoms['max_absolute_cosine']:.2f}: with alpha for half of the atoms, the "
        f"library's default, a code must also fit directions in which the atoms hardly differ, and "
        f"{percent(half)} is left.",
    ]


def read_search(outcomes: Sequence[Outcome], duels: Sequence[Duel]) -> list[str]:
    """Says where the sparse code won and where it did not; long lists are left to the table."""

    def titles(verdict: str) -> str:
        found = [each.condition.title for each in outcomes if each.verdict == verdict]
        if not found:
            return "nowhere"
        if len(found) > MOST_NAMED:
            return f"in {len(found)}, see the table"
        return " | ".join(found)

    return [
        f"Sparse code against dense head on the same dictionary, {len(outcomes)} conditions. The "
        f"sparse code wins beyond noise: {titles('sparse')}. The dense head wins: "
        f"{titles('dense')}. Elsewhere they tie.",
        *(each.told for each in duels),
    ]
