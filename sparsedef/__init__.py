"""Batched sparse coding with certificates and gradients, and honest adversarial defenses."""

from sparsedef import learning, nn, sae
from sparsedef.backends import BackendError, Status
from sparsedef.config import backends, show_config
from sparsedef.solvers import (
    LassoPath,
    PatchCode,
    SparseCode,
    alpha_max,
    extract_patches,
    lasso,
    lasso_path,
    merge_patches,
    omp,
    patch_omp,
    sparse_encode,
)
from sparsedef.version import __version__

__all__ = [
    "BackendError",
    "LassoPath",
    "PatchCode",
    "SparseCode",
    "Status",
    "__version__",
    "alpha_max",
    "backends",
    "extract_patches",
    "lasso",
    "lasso_path",
    "learning",
    "merge_patches",
    "nn",
    "omp",
    "patch_omp",
    "sae",
    "show_config",
    "sparse_encode",
]
