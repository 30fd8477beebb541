"""LASSO to a p99 relative duality gap of 1e-5, float32, against SPAMS and scikit-learn."""

from __future__ import annotations

from typing import Any

from benchmarks.baselines import BASELINES
from benchmarks.problems import LassoSpec
from benchmarks.race import race
from benchmarks.sparsedef_entry import contestant


def test_lasso(lasso_spec: LassoSpec, race_settings: dict[str, Any], benchmark: Any) -> None:
    ours = contestant(race_settings.pop("backend"))
    problem = lasso_spec.build()
    benchmark.extra_info.update(
        race(problem, ours, BASELINES, pedantic=benchmark.pedantic, **race_settings)
    )
