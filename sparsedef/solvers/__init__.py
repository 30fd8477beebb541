"""What users call: words, checks, the choice of a backend, and a result with its proof."""

from sparsedef.solvers.lasso import lasso
from sparsedef.solvers.omp import omp
from sparsedef.solvers.patch_omp import PatchCode, patch_omp
from sparsedef.solvers.patches import extract_patches, merge_patches
from sparsedef.solvers.result import SparseCode

__all__ = [
    "PatchCode",
    "SparseCode",
    "extract_patches",
    "lasso",
    "merge_patches",
    "omp",
    "patch_omp",
]
