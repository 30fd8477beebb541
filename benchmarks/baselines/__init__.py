"""The table of peers. An absent library shows as a note, never as a missing row."""

from __future__ import annotations

from benchmarks.baselines import ompgpu_baseline, sklearn_baseline, spams_baseline
from benchmarks.contestants import Contestant

BASELINES: tuple[Contestant, ...] = (
    *spams_baseline.CONTESTANTS,
    *sklearn_baseline.CONTESTANTS,
    *ompgpu_baseline.CONTESTANTS,
)
