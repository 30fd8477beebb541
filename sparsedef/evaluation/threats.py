"""Threat models: what an attacker knows of what he attacks, named in every row of a table."""

from __future__ import annotations

from sparsedef.defenses.base import IDENTITY

WORST_CASE = "worst case"
WHITE_BOX = "white-box"
BPDA = "BPDA"
SCORES = "scores only"
UNDEFENDED = "undefended"
GRAY_BOX = "gray-box"
TRANSFER = "transfer"
CLEAN = "clean"

EOT = "EOT"
WARM = "from gray-box images"

# in the order in which a table shows them: what counts first, what flatters last
KINDS = {
    WORST_CASE: "each image counts as wrong if any attack of this table, of this strength or "
    "less, fooled this classifier on it",
    WHITE_BOX: "the attack differentiates through everything, knowing everything",
    BPDA: "the attack runs everything, but differentiates a stand-in for what has no useful "
    "gradient: the defense's own surrogate",
    SCORES: "the attack sees the logits of the whole defense and no gradient",
    UNDEFENDED: "there is no defense, and the attack differentiates the classifier",
    GRAY_BOX: "the attack knows the classifier but not the defense: made on the bare classifier, "
    "scored behind the defense. Not a measure of robustness",
    TRANSFER: "made on another classifier, scored on this one. Not a measure of robustness",
    CLEAN: "no attack",
}
VARIANTS = {
    IDENTITY: "the stand-in is the identity: a cross-check of the exact gradient",
    EOT: "its gradients are means over draws of the random defense",
    WARM: "begun at the gray-box images of the same attack instead of the clean ones",
}

ADAPTIVE = (WHITE_BOX, BPDA, SCORES)  # they know the defense
KNOWING = (UNDEFENDED, *ADAPTIVE)


def threat_model(kind: str, *variants: str) -> str:
    """Names a threat model: a kind, and the variants that apply, such as ``"BPDA, identity"``.

    A variant that is not in ``VARIANTS`` is a stand-in of the defense's own, by its name.
    """
    own = [variant for variant in variants if variant not in VARIANTS]
    found = ", ".join([kind, *own, *(variant for variant in VARIANTS if variant in variants)])
    assert is_known(found), found
    return found


def kind_of(threat: str) -> str:
    """Returns the kind of a threat model: ``"white-box"`` of ``"white-box, EOT"``."""
    return threat.split(", ")[0]


def variants_of(threat: str) -> tuple[str, ...]:
    """Returns the variants of a threat model: ``("EOT",)`` of ``"white-box, EOT"``."""
    return tuple(threat.split(", ")[1:])


def is_known(threat: str) -> bool:
    """Says whether ``threat`` is a threat model that a table may name.

    Only the stand-ins of BPDA may have names of the defense's own.
    """
    kind = kind_of(threat)
    return kind in KINDS and (kind == BPDA or set(variants_of(threat)) <= set(VARIANTS))


def describe(threat: str) -> str:
    """Says in words what the attacker knows.

    Example:
        >>> describe("white-box, EOT")
        'the attack differentiates through everything, knowing everything; its gradients are \
means over draws of the random defense'
    """
    own = "the stand-in is one that aims at this defense's own mechanism"
    return "; ".join([KINDS[kind_of(threat)], *(VARIANTS.get(v, own) for v in variants_of(threat))])


def reading_order(threat: str) -> tuple[int, int]:
    """Sorts threat models: kinds as listed, plain before its variants."""
    return list(KINDS).index(kind_of(threat)), len(variants_of(threat))
