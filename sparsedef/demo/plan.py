"""What the demo runs, in full and in short; nothing here is chosen by looking at test results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Plan:
    """All numbers that decide the demo's results.

    Args:
        seed: Of data splits, training, dictionaries and attacks.
        tasks: Data sets, by their names in ``DATASETS``.
        n_samples: Test images attacked, per task at most.
        epochs: Training epochs, per task.
        strengths: L-infinity radii.
        budgets: L2 radii, relative to each image's own norm.
        options: Per attack, what differs from its defaults.
        n_pictures: Test images that may be shown.
    """

    seed: int
    tasks: tuple[str, ...]
    n_samples: int
    epochs: Mapping[str, int]
    strengths: tuple[float, ...]
    budgets: tuple[float, ...]
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    n_pictures: int = 24

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        values: dict[str, Any] = asdict(self)
        return values


def full_plan(seed: int, tasks: tuple[str, ...]) -> Plan:
    """The demo as it is meant: a few minutes on two cores."""
    return Plan(
        seed=seed,
        tasks=tasks,
        n_samples=150,
        epochs={"digits": 12, "photographs": 12},
        strengths=(4 / 255, 8 / 255, 16 / 255, 32 / 255),
        budgets=(0.025, 0.05, 0.1, 0.2),
        # The margin loss, because cross-entropy saturates on a confident classifier: a quarter of
        # the photographs' gradients are exactly zero with it, which would pass for robustness.
        options={
            "fgsm": {"loss": "margin"},
            "bim": {"loss": "margin", "steps": 15},
            "mi_fgsm": {"loss": "margin", "steps": 10},
            "pgd": {"loss": "margin", "steps": 20},
            "cw_l2": {
                "steps": 40,
                "rounds": 3,
                "learning_rate": 0.05,
                "first_weight": 3.0,
                "abort_early": False,
            },
        },
    )


def quick_plan(seed: int, tasks: tuple[str, ...]) -> Plan:
    """The same demo with few images and weak attacks, to see that everything works."""
    return Plan(
        seed=seed,
        tasks=tasks,
        n_samples=40,
        epochs={"digits": 6, "photographs": 6},
        strengths=(8 / 255, 32 / 255),
        budgets=(0.05, 0.2),
        options={
            "fgsm": {"loss": "margin"},
            "bim": {"loss": "margin", "steps": 8},
            "mi_fgsm": {"loss": "margin", "steps": 5},
            "pgd": {"loss": "margin", "steps": 20},
            "cw_l2": {"steps": 25, "rounds": 2, "learning_rate": 0.1, "first_weight": 10.0},
        },
    )
