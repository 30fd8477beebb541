"""Which attacks an evaluation runs, how strong, and from where; nothing of it looks at results."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sparsedef.attacks import ATTACKS, SEMANTIC_ATTACKS, Attack, EditedFolder
from sparsedef.defenses.base import IDENTITY
from sparsedef.evaluation.rows import LONGER, SEMANTIC, UNBOUNDED, WHOLE
from sparsedef.solvers.checks import check_choice

ALL = "all"
NORMS = ("linf", "l2")
FOLDER = "edited_folder"
# edits of any picture; they have no radius, and their one strength is all that they may do
EDITS: Mapping[str, type[Attack]] = {**SEMANTIC_ATTACKS, FOLDER: EditedFolder}
EVERY: Mapping[str, type[Attack]] = {**ATTACKS, **EDITS}
ITERATED = ("bim", "mi_fgsm", "pgd", "apgd", "cw_l2")


@dataclass(frozen=True)
class AttackPlan:
    """One attack at some strengths.

    Args:
        attack: Name in ``ATTACKS``, or of an edit in ``EDITS``.
        strengths: Radii: in [0, 1] pixel units for linf; for L2 as shares of the mean L2 norm of
            the test images, so that one absolute radius holds for all of them. An attack that
            looks for the smallest perturbation (CW-L2) runs once, and is read at every strength.
        norm: ``"linf"``, ``"l2"``, or ``"semantic"`` for edits, of strength ``WHOLE``.
        options: What differs from the attack's defaults.
        from_gray_box: Also begin at what the same attack finds on the bare classifier.
        stand_ins: Also differentiate the stand-ins that a defense names (BPDA): ``"all"``, such
            as aim at its own mechanism included, or only a purifier's ``"identity"``.
        check: ``"unbounded"`` or ``"longer"``: see ``rows.Row``; empty for a result.

    Raises:
        ValueError: The attack, its norm, an option or a strength is not one that it has.
    """

    attack: str
    strengths: tuple[float, ...]
    norm: str = "linf"
    options: Mapping[str, Any] = field(default_factory=dict)
    from_gray_box: bool = False
    stand_ins: str = ""
    check: str = ""

    def __post_init__(self) -> None:
        """Demands an attack that can be built; see the class."""
        check_choice("AttackPlan", "attack", self.attack, tuple(EVERY))
        check_choice("AttackPlan", "norm", self.norm, (*NORMS, SEMANTIC))
        check_choice("AttackPlan", "check", self.check, ("", UNBOUNDED, LONGER))
        check_choice("AttackPlan", "stand_ins", self.stand_ins, ("", IDENTITY, ALL))
        if not self.strengths or not all(strength > 0 for strength in self.strengths):
            raise ValueError(
                f"AttackPlan: strengths must be some numbers > 0, got {self.strengths}"
            )
        if self.norm not in norms_of(self.attack):
            raise ValueError(f"AttackPlan: {self.attack} has no norm {self.norm!r}")
        if self.norm == SEMANTIC and self.strengths != (WHOLE,):
            raise ValueError(
                f"AttackPlan: strengths of {self.attack}, which has no radius, must be ({WHOLE},),"
                f" got {self.strengths}"
            )
        unknown = set(self.options) - set(self._parameters())
        if unknown:
            raise ValueError(f"AttackPlan: {self.attack} has no option {sorted(unknown)[0]!r}")

    @property
    def has_radius(self) -> bool:
        """Whether the attack runs once for each strength."""
        return EVERY[self.attack].needs_eps

    @property
    def uses_gradient(self) -> bool:
        """Whether the attack looks at gradients, not at scores alone."""
        return EVERY[self.attack].uses_gradient

    @property
    def label(self) -> str:
        """The attack's name and, unless it is the default, its loss or version."""
        default = {name: p.default for name, p in self._parameters().items()}
        shown = [
            str(self.options[name])
            for name in ("loss", "version")
            if self.options.get(name, default.get(name)) != default.get(name)
        ]
        return "-".join([self.attack, *shown])

    def build(self, radius: float, *, seed: int, draws: int, ids: Sequence[str] = ()) -> Attack:
        """Builds the attack.

        Args:
            radius: Absolute; an attack without a radius ignores it.
            seed: Of the attack's own randomness.
            draws: How often a random model is asked.
            ids: Of the images that it will see; edits made elsewhere are found by them.
        """
        options = {**self.options, "seed": seed, "draws": draws}
        if self.has_radius:
            options["eps"] = radius
        if "norm" in self._parameters():
            options["norm"] = self.norm
        if self.attack == FOLDER:
            options["ids"] = ids
        return EVERY[self.attack](**options)

    @property
    def steps(self) -> int:
        """Gradients or queries per image, 0 where the attack does not say."""
        attack = self.build(1.0, seed=0, draws=1) if self.attack != "autoattack" else None
        return int(getattr(attack, "steps", getattr(attack, "queries", 0)))

    @property
    def cost(self) -> float:
        """Looks at the classifier per image and strength, about; for progress bars."""
        times = float(self.options.get("restarts", 1)) * float(self.options.get("rounds", 1))
        return (self.steps or {"autoattack": 1500}.get(self.attack, 1)) * times + 1

    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(EVERY[self.attack]).parameters


def norms_of(attack: str) -> tuple[str, ...]:
    """Says in which norms the attack of that name bounds its perturbation."""
    if attack in EDITS:
        return (SEMANTIC,)
    if "norm" in inspect.signature(ATTACKS[attack]).parameters:
        return NORMS
    return ("l2",) if attack.endswith("_l2") else ("linf",)


@dataclass(frozen=True)
class Plan:
    """All that decides an evaluation's numbers besides images and classifiers.

    Args:
        attacks: What is run, in this order.
        seed: Of attacks and of the random draws of defenses.
        draws: How often attacks ask a random defense per look (EOT).
        final_draws: How often a random defense is asked about each final image.
        with_transfer: Score what was made on each bare classifier on all other classifiers too.
        batch_size: Images attacked at once; results are kept by such batches, and random
            defenses draw per batch, so that it is part of the result.
        n_pictures: Test images of which attacked versions are kept for pictures.
    """

    attacks: tuple[AttackPlan, ...]
    seed: int = 0
    draws: int = 20
    final_draws: int = 10
    with_transfer: bool = False
    batch_size: int = 128
    n_pictures: int = 24

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        values: dict[str, Any] = asdict(self)
        return values


def standard_plan(
    strengths: tuple[float, ...],
    budgets: tuple[float, ...] = (),
    *,
    n_classes: int = 10,
    seed: int = 0,
    quick: bool = False,
    names: tuple[str, ...] = (),
    edits: str | None = None,
) -> Plan:
    """Gives the attacks of a report that holds: iterated, adaptive, by scores, and their checks.

    Args:
        strengths: L-infinity radii.
        budgets: L2 radii, relative to the mean norm of the images; empty: no L2 attack.
        n_classes: Of the classifiers; some losses need more than two.
        seed: Of everything random.
        quick: Few steps.
        names: Only these attacks and edits, with their checks; empty: the usual ones.
        edits: Folder of pictures for ``"edited_folder"``.
    """
    chosen = names or ("fgsm", "pgd", "apgd", "square", *(("cw_l2",) if budgets else ()))
    options: dict[str, list[dict[str, Any]]] = {
        # the margin: cross-entropy saturates on confident classifiers, which looks like strength
        "fgsm": [{"loss": "margin"}],
        "bim": [{"loss": "margin", "steps": 10 if quick else 20}],
        "mi_fgsm": [{"loss": "margin", "steps": 10}],
        "pgd": [{"loss": "margin", "steps": 10 if quick else 40}],
        "apgd": [{"steps": 20}] if quick else [{}, {"loss": "dlr" if n_classes > 2 else "margin"}],
        "apgd_t": [{"steps": 20 if quick else 100}],
        "cw_linf": [{"steps": 10 if quick else 30}],
        "square": [{"queries": 300 if quick else 5000}],
        "spsa": [{"steps": 20 if quick else 100}],
        "cw_l2": [
            {"steps": 30, "rounds": 2, "learning_rate": 0.05, "first_weight": 3.0}
            if quick
            else {"steps": 100, "rounds": 5, "learning_rate": 0.02, "first_weight": 1.0}
        ],
        "autoattack": [{}],
        "recolour": [{"trials": 100 if quick else 1000}],
        "appearance": [{"steps": 10, "samples": 10}] if quick else [{"restarts": 2}],
        FOLDER: [{"edits": edits}],
    }
    if FOLDER in chosen and edits is None:
        raise ValueError(f"standard_plan: {FOLDER} needs edits, a folder with ID/*.png")
    attacks = []
    for name in chosen:
        radii = {"linf": strengths, "l2": budgets, SEMANTIC: (WHOLE,)}
        norms = [norm for norm in norms_of(name) if radii[norm]]
        if not norms:
            word = "strengths" if "linf" in norms_of(name) else "budgets"
            raise ValueError(f"standard_plan: {name} needs {word}")
        if not names and name not in ("pgd", "cw_l2"):
            norms = norms[:1]  # of the usual ones, these two stand for L2
        attacks += [
            AttackPlan(
                name, radii[norm], norm, each,
                from_gray_box=name in ITERATED, stand_ins=ALL if name in ("bim", "pgd") else "",
            )
            for norm in norms
            for each in options[name]
        ]  # fmt: skip
    if strengths and not set(chosen) <= set(EDITS):
        longer = {"loss": "margin", "steps": 40 if quick else 200}
        attacks.append(AttackPlan("pgd", strengths[-1:], options=longer, check=LONGER))
        sanity = {"loss": "margin", "steps": 20}
        attacks.append(AttackPlan("pgd", (1.0,), options=sanity, check=UNBOUNDED))
    return Plan(tuple(attacks), seed=seed, draws=8 if quick else 20)
