"""Patch coding by the native CPU kernel: all steps from image to image in one."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef import _C
from sparsedef.backends.cpp.threads import n_threads
from sparsedef.backends.patch_pipeline import Grid


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
    """Rebuilds images from few atoms per patch; see ``sparsedef.patch_omp``.

    The answer is the same to the bit for every batch, number of threads and instruction set.
    """
    images, dictionary = images.contiguous(), dictionary.contiguous()
    mask = None if mask is None else mask.contiguous()
    grid = Grid.of(images, dictionary, stride)
    n_images, n_channels, height, width = images.shape
    shape = (n_images, grid.n_patches)
    indices = torch.empty((*shape, n_nonzero), dtype=torch.int64)
    values = torch.empty((*shape, n_nonzero), dtype=images.dtype)
    rebuilt = torch.empty_like(images)
    n_iter = torch.empty(shape, dtype=torch.int32)
    status = torch.empty(shape, dtype=torch.int32)
    is_double = images.dtype == torch.float64
    kernel = _C.patch_omp_cpu_double if is_double else _C.patch_omp_cpu_float
    kernel(
        images=images.data_ptr(),
        dictionary=dictionary.data_ptr(),
        mask=0 if mask is None else mask.data_ptr(),
        indices=indices.data_ptr(),
        values=values.data_ptr(),
        rebuilt=rebuilt.data_ptr(),
        n_iter=n_iter.data_ptr(),
        status=status.data_ptr(),
        n_images=n_images,
        n_channels=n_channels,
        height=height,
        width=width,
        n_atoms=len(dictionary),
        size=grid.size,
        stride=stride,
        n_nonzero=n_nonzero,
        standardize=standardize,
        is_ols=selection == "ols",
        tol=tol,
        max_memory=max_memory,
        n_threads=n_threads(),
    )
    return indices, values, rebuilt, n_iter, status
