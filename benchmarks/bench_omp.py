"""Matching pursuit by both selection rules, float32, each against the peers of the same rule.

SPAMS has the OLS rule only; beside the OMP rule it is timed as well, marked as another rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.baselines import BASELINES
from benchmarks.contestants import Call
from benchmarks.omp_problems import OmpProblem, OmpSpec
from benchmarks.race import race
from benchmarks.sparsedef_entry import contestant


def test_omp(
    omp_spec: OmpSpec,
    race_settings: dict[str, Any],
    benchmark: Any,
    keep: Callable[[dict[str, Any]], None],
) -> None:
    ours, problem = contestant(race_settings.pop("backend")), omp_spec.build()
    across = [peer for peer in BASELINES if peer.name == "spams.omp"]
    keep(
        race(
            problem,
            ours,
            BASELINES,
            across=[(peer, problem.by("ols")) for peer in across if problem.selection == "omp"],
            beside={"move_ms": move(problem)},
            pedantic=benchmark.pedantic,
            **race_settings,
        )
    )


def move(problem: OmpProblem) -> Call:
    """One pass over the bytes that must move besides the product's: residuals, indices, values."""
    x, shape = problem.x, (len(problem.x), problem.n_nonzero)
    residual, values = x.clone(), x.new_zeros(shape)
    indices = values.long()

    def call() -> None:
        residual.copy_(x)
        values.zero_()
        indices.zero_()

    return call
