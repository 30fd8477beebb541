"""The table of peers. An absent library shows as a note, never as a missing row."""

from __future__ import annotations

from benchmarks.baselines import (
    celer_baseline,
    ompgpu_baseline,
    patch_baseline,
    skglm_baseline,
    sklearn_baseline,
    spams_baseline,
    torch_fista,
)
from benchmarks.contestants import Contestant

BASELINES: tuple[Contestant, ...] = (
    *spams_baseline.CONTESTANTS,
    *sklearn_baseline.CONTESTANTS,
    *celer_baseline.CONTESTANTS,
    *skglm_baseline.CONTESTANTS,
    *torch_fista.CONTESTANTS,
    *ompgpu_baseline.CONTESTANTS,
    *patch_baseline.CONTESTANTS,
)
