"""How much of CARSO's experiments is run: all, or what ends in minutes."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace

from sparsedef.defenses.carso import PRESETS, Sizes
from sparsedef.evaluation import AttackPlan, Plan
from sparsedef.evaluation.rows import LONGER, UNBOUNDED

PROBE = 0.95  # a radius that must fool everything


@dataclass(frozen=True)
class Amount:
    """Sizes of a run.

    Args:
        base: Network of the classifier.
        base_epochs: Of plain, then of adversarial training.
        purifier: Sizes and training of the purifiers.
        n_images: Attacked test images.
        n_samples: Sample counts of the ablation, besides 8.
        draws: EOT of the attacks.
        sweep: EOT of the sweep.
        steps: Of APGD and margin PGD.
        published_steps: Of the published PGD.
        queries: Of Square.
        strengths: Radii.
        has_autoattack: Whether AutoAttack's package is used.
    """

    base: str = "wrn-10-1-silu"
    base_epochs: tuple[int, int] = (12, 20)
    purifier: Sizes = PRESETS["small"]
    n_images: int = 200
    n_samples: tuple[int, ...] = (1, 2, 4, 16)
    draws: int = 20
    sweep: tuple[int, ...] = (1, 20, 100)
    steps: int = 100
    published_steps: int = 200
    queries: int = 1000
    strengths: tuple[float, ...] = (8 / 255, 16 / 255)
    has_autoattack: bool = importlib.util.find_spec("pyautoattack") is not None

    def plan(self, seed: int, batch_size: int) -> Plan:
        """The published attacks, and beyond them; the first is shown in pictures."""
        top = self.strengths[-1:]
        margin = {"loss": "margin", "steps": self.steps}
        step = {"steps": self.published_steps, "step_size": 0.007}
        attacks = [
            AttackPlan("apgd", self.strengths, options={"steps": self.steps}, stand_ins="all"),
            AttackPlan("apgd", self.strengths, options={"steps": self.steps, "loss": "dlr"}),
            AttackPlan("bim", self.strengths, options=step),
            AttackPlan("pgd", self.strengths, options=margin, from_gray_box=True),
            AttackPlan("square", top, options={"queries": self.queries}),
            AttackPlan("pgd", top, options={**margin, "steps": 3 * self.steps}, check=LONGER),
            AttackPlan("pgd", (PROBE,), options={"loss": "margin", "steps": 20}, check=UNBOUNDED),
        ]
        if self.has_autoattack:
            attacks.insert(1, AttackPlan("autoattack", self.strengths, options={"version": "rand"}))
        return Plan(
            tuple(attacks), seed=seed, draws=self.draws, batch_size=batch_size, n_pictures=4
        )

    def small_plan(self, seed: int, batch_size: int, draws: int | None = None) -> Plan:
        """One attack, at the largest radius: for ablations and the sweep of EOT."""
        attack = AttackPlan(
            "pgd", self.strengths[-1:], options={"loss": "margin", "steps": self.steps},
            from_gray_box=True,
        )  # fmt: skip
        return Plan((attack,), seed=seed, draws=draws or self.draws, batch_size=batch_size,
                    n_pictures=1)  # fmt: skip

    def fixed_plan(self, seed: int, batch_size: int) -> tuple[str, Plan]:
        """Standard AutoAttack for the fixed seed; without its package our own two APGDs."""
        top = self.strengths[-1:]
        if self.has_autoattack:
            name, attacks = "AutoAttack", [AttackPlan("autoattack", top)]
        else:
            name, options = "own APGD and APGD-T", {"steps": self.steps}
            attacks = [AttackPlan(each, top, options=options) for each in ("apgd", "apgd_t")]
        return name, Plan(tuple(attacks), seed=seed, batch_size=batch_size, n_pictures=1)


FULL = Amount()
QUICK = replace(
    FULL,
    base="small_cnn",
    base_epochs=(12, 4),
    purifier=replace(PRESETS["small"], width=32, epochs=8, attack_steps=2),
    n_images=24,
    n_samples=(1, 4, 16),
    draws=2,
    sweep=(1, 2, 8),
    steps=8,
    published_steps=8,
    queries=30,
    strengths=(16 / 255,),
    has_autoattack=False,
)  # fmt: skip
