"""The reference backend: plain torch, any device, the oracle for all others."""

from __future__ import annotations

from functools import partial

import torch

from sparsedef.backends.base import Backend, Problem
from sparsedef.backends.patch_pipeline import code_patches
from sparsedef.backends.reference.code_statistics import code_statistics
from sparsedef.backends.reference.lasso import lasso
from sparsedef.backends.reference.omp import omp
from sparsedef.backends.reference.patch_support_solve import patch_support_solve
from sparsedef.backends.reference.support_solve import support_solve
from sparsedef.backends.reference.update_atoms import update_atoms


def _reasons(problem: Problem) -> list[str]:
    if problem.dtype in (torch.float32, torch.float64):
        return []
    return [f"it works in float32 and float64, not {problem.dtype}"]


BACKEND = Backend(
    "reference",
    {
        "lasso": lasso,
        "omp": omp,
        "patch_omp": partial(code_patches, omp),
        "support_solve": support_solve,
        "patch_support_solve": patch_support_solve,
        "code_statistics": code_statistics,
        "update_atoms": update_atoms,
    },
    _reasons,
)
