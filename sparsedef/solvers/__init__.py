"""What users call: words, checks, the choice of a backend, and a result with its proof."""

from sparsedef.solvers.alpha import alpha_max
from sparsedef.solvers.lasso import lasso
from sparsedef.solvers.lasso_path import LassoPath, lasso_path
from sparsedef.solvers.omp import omp
from sparsedef.solvers.patch_omp import PatchCode, patch_omp
from sparsedef.solvers.patches import extract_patches, merge_patches
from sparsedef.solvers.result import SparseCode
from sparsedef.solvers.sparse_encode import sparse_encode

__all__ = [
    "LassoPath",
    "PatchCode",
    "SparseCode",
    "alpha_max",
    "extract_patches",
    "lasso",
    "lasso_path",
    "merge_patches",
    "omp",
    "patch_omp",
    "sparse_encode",
]
