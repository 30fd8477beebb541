"""Patch coding over Triton's OMP: the pieces in torch, the pursuit by the Triton kernels."""

from __future__ import annotations

from torch import Tensor

from sparsedef.backends.patch_pipeline import code_patches
from sparsedef.backends.triton.omp import omp


def patch_omp(
    images: Tensor,
    dictionary: Tensor,
    tol: float,
    mask: Tensor | None,
    n_nonzero: int,
    stride: int,
    standardize: str,
    selection: str,
    max_memory: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Rebuilds images from few atoms per patch; see ``sparsedef.patch_omp``."""
    return code_patches(
        omp, images, dictionary, tol, mask, n_nonzero, stride, standardize, selection, max_memory
    )
