"""Image to image by K atoms per patch, stride 1: against peers' pipelines, and the coding alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.baselines import BASELINES
from benchmarks.omp_problems import PatchSpec
from benchmarks.race import judge, race
from benchmarks.sparsedef_entry import contestant


def test_patches(
    patch_spec: PatchSpec,
    race_settings: dict[str, Any],
    benchmark: Any,
    keep: Callable[[dict[str, Any]], None],
) -> None:
    ours, problem = contestant(race_settings.pop("backend")), patch_spec.build()
    coding = ours.prepare(problem.coding, None, race_settings["threads"])
    judge(problem.coding, ours.to_answer(coding(), problem.coding))
    across = [peer for peer in BASELINES if peer.name == "spams.omp + numpy"]
    keep(
        race(
            problem,
            ours,
            BASELINES,
            across=[(peer, problem.by("ols")) for peer in across if problem.selection == "omp"],
            beside={"coding_ms": coding},
            pedantic=benchmark.pedantic,
            **race_settings,
        )
    )
