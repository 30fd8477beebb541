"""Batched sparse coding with certificates and gradients, and honest adversarial defenses."""

from sparsedef.backends import BackendError, Status
from sparsedef.config import backends, show_config
from sparsedef.solvers import (
    PatchCode,
    SparseCode,
    extract_patches,
    lasso,
    merge_patches,
    omp,
    patch_omp,
)
from sparsedef.version import __version__

__all__ = [
    "BackendError",
    "PatchCode",
    "SparseCode",
    "Status",
    "__version__",
    "backends",
    "extract_patches",
    "lasso",
    "merge_patches",
    "omp",
    "patch_omp",
    "show_config",
]
