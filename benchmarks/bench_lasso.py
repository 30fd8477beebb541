"""LASSO to a p99 relative duality gap of 1e-5 in float32: time against the peers, and memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import peak_memory
from benchmarks.baselines import BASELINES
from benchmarks.problems import LassoSpec
from benchmarks.race import race
from benchmarks.sparsedef_entry import contestant

Keep = Callable[[dict[str, Any]], None]


def test_lasso(
    lasso_spec: LassoSpec, race_settings: dict[str, Any], benchmark: Any, keep: Keep
) -> None:
    ours = contestant(race_settings.pop("backend"))
    keep(race(lasso_spec.build(), ours, BASELINES, pedantic=benchmark.pedantic, **race_settings))


def test_lasso_memory(
    memory_spec: LassoSpec,
    max_memory: int | None,
    race_settings: dict[str, Any],
    keep: Keep,
) -> None:
    backend, threads = race_settings["backend"], race_settings["threads"]
    keep(peak_memory.measure(memory_spec.build(), max_memory, backend, threads))
