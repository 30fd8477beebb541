"""What the demo runs, in full and in short; nothing here is chosen by looking at test results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sparsedef.evaluation import AttackPlan, Plan
from sparsedef.evaluation.rows import LONGER, UNBOUNDED


@dataclass(frozen=True)
class DemoPlan:
    """All numbers that decide the demo's results.

    Args:
        seed: Of data splits, training, dictionaries and attacks.
        tasks: Data sets, by their names in ``DATASETS``.
        n_samples: Test images attacked, per task at most.
        epochs: Training epochs, per task.
        attacks: What is run on every classifier.
    """

    seed: int
    tasks: tuple[str, ...]
    n_samples: int
    epochs: Mapping[str, int]
    attacks: Plan


# The margin loss, because cross-entropy saturates on a confident classifier: a quarter of the
# photographs' gradients are exactly zero with it, which would pass for robustness.
MARGIN = {"loss": "margin"}


def full_plan(seed: int, tasks: tuple[str, ...]) -> DemoPlan:
    """The demo as it is meant: a few minutes on two cores."""
    strengths, budgets = (4 / 255, 8 / 255, 16 / 255, 32 / 255), (0.025, 0.05, 0.1, 0.2)
    smallest = {"steps": 40, "rounds": 3, "learning_rate": 0.05, "first_weight": 3.0}
    attacks = (
        AttackPlan("fgsm", strengths, options=MARGIN),
        AttackPlan(
            "bim", strengths, options=MARGIN | {"steps": 15},
            from_gray_box=True, stand_ins="identity",
        ),
        AttackPlan("mi_fgsm", strengths, options=MARGIN | {"steps": 10}),
        AttackPlan("square", (16 / 255,), options={"queries": 200}),
        AttackPlan(
            "cw_l2", budgets, "l2", smallest | {"abort_early": False}, from_gray_box=True
        ),
        AttackPlan("bim", (16 / 255,), options=MARGIN | {"steps": 60}, check=LONGER),
        AttackPlan("pgd", (1.0,), options=MARGIN | {"steps": 20}, check=UNBOUNDED),
    )  # fmt: skip
    epochs = {"digits": 12, "photographs": 12}
    return DemoPlan(seed, tasks, 150, epochs, Plan(attacks, seed=seed))


def quick_plan(seed: int, tasks: tuple[str, ...]) -> DemoPlan:
    """The same demo with few images and weak attacks, to see that everything works."""
    strengths, budgets = (8 / 255, 32 / 255), (0.05, 0.2)
    smallest = {"steps": 25, "rounds": 2, "learning_rate": 0.1, "first_weight": 10.0}
    attacks = (
        AttackPlan("fgsm", strengths, options=MARGIN),
        AttackPlan(
            "bim",
            strengths,
            options=MARGIN | {"steps": 8},
            from_gray_box=True,
            stand_ins="identity",
        ),
        AttackPlan("mi_fgsm", strengths, options=MARGIN | {"steps": 5}),
        AttackPlan("cw_l2", budgets, "l2", smallest, from_gray_box=True),
        AttackPlan("pgd", (1.0,), options=MARGIN | {"steps": 20}, check=UNBOUNDED),
    )
    epochs = {"digits": 6, "photographs": 6}
    return DemoPlan(seed, tasks, 40, epochs, Plan(attacks, seed=seed))
