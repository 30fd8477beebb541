"""Matching pursuit by both selection rules, float32, each against the peers of the same rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.baselines import BASELINES
from benchmarks.problems import OmpSpec
from benchmarks.race import race
from benchmarks.sparsedef_entry import contestant


def test_omp(
    omp_spec: OmpSpec,
    race_settings: dict[str, Any],
    benchmark: Any,
    keep: Callable[[dict[str, Any]], None],
) -> None:
    ours = contestant(race_settings.pop("backend"))
    keep(race(omp_spec.build(), ours, BASELINES, pedantic=benchmark.pedantic, **race_settings))
