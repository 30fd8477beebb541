"""What torch sees: one registered op per file, with its schema, fake kernel and gradient."""

from sparsedef.ops.lasso import lasso, lasso_unrolled
from sparsedef.ops.omp import omp
from sparsedef.ops.patch_omp import patch_omp

__all__ = ["lasso", "lasso_unrolled", "omp", "patch_omp"]
