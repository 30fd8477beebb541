"""Sparse coding of whole images, patch by patch."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sparsedef import ops
from sparsedef.backends import Problem, select_backend
from sparsedef.backends.patch_pipeline import Grid, patch_size, standardize_patches
from sparsedef.solvers.checks import (
    HALF,
    check_choice,
    check_count,
    check_dictionary,
    check_tensor,
    check_unit_norm,
    clip_n_nonzero,
    meet,
)
from sparsedef.solvers.omp import SELECTIONS
from sparsedef.solvers.patches import check_window

__all__ = ["PatchCode", "patch_omp", "standardize_patches"]

STANDARDIZE = ("none", "mean", "zscore")


class PatchCode(NamedTuple):
    """Images rebuilt from sparse codes, and the codes, for B images of P patches each.

    Attributes:
        images: Reconstruction, ``[B, C, H, W]``.
        indices: Atoms of each patch, ``[B, P, K]``, unused slots -1.
        values: Their codes (of the standardised patch), ``[B, P, K]``, unused slots 0.
        n_iter: Atoms chosen, ``[B, P]``.
        status: How each patch ended, ``[B, P]``; see :class:`sparsedef.Status`.
        backend: Who computed it.
    """

    images: Tensor
    indices: Tensor
    values: Tensor
    n_iter: Tensor
    status: Tensor
    backend: str


def patch_omp(
    images: Tensor,
    dictionary: Tensor,
    n_nonzero: int,
    *,
    stride: int = 1,
    standardize: str = "none",
    tol: float = 0.0,
    selection: str = "omp",
    mask: Tensor | None = None,
    max_memory: int | None = None,
    backend: str = "auto",
) -> PatchCode:
    """Rebuilds images from a few atoms per patch: extract, code by OMP, average the overlaps.

    Each patch is standardised, replaced by its best approximation with the at most K atoms that
    OMP chooses, and given its statistics back; a pixel becomes the mean of the patches over it.
    With the C++ backend all steps are one, no patch is ever stored, and the answer is the same to
    the bit whatever the batch, the number of threads and the instruction set.

    Args:
        images: ``[B, C, H, W]``, float32 or float64 (half precision is coded in float32).
        dictionary: Atoms of norm 1, ``[N, C * size * size]``; the patch size follows from it.
        n_nonzero: Atoms per patch K; more than min(M, N) is lowered to it with a warning.
        stride: Pixels between neighbouring patches.
        standardize: What to take from the patches before coding and to give back after:
            ``"none"``; ``"mean"``, each patch's own mean; ``"zscore"``, per image and per
            dimension, the mean and standard deviation (at least 0.01) over the image's patches
            that are coded.
        tol: Stop a patch when its squared residual (standardised) is at most this.
        selection: ``"omp"`` or ``"ols"``, see :func:`sparsedef.omp`.
        mask: The pixels to rebuild, ``[B, H, W]`` bool; the others are handed through. Only the
            patches that hold such a pixel are coded; the rest get no atoms. ``None``: all.
        max_memory: Most bytes that the forward pass may take beside its inputs and outputs; the
            answer does not depend on it. ``None``: the backend chooses.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.

    Returns:
        ``PatchCode``. With ``n_nonzero`` = C * size * size and atoms that span the space, its
        images equal the input to rounding. A patch with NaN or infinity gets status ``NONFINITE``,
        NaN values, and makes the pixels under it NaN; with z-scores so does its whole image, whose
        statistics it spoils.

    Raises:
        TypeError: Not tensors, or the wrong or mixed dtypes.
        ValueError: A shape, a device, a range, an option or an atom's norm is wrong, or
            ``max_memory`` is too small.
        BackendError: The forced backend cannot do this.

    Gradients: exact for ``images`` and ``dictionary`` while the supports stay as they are, the
    statistics of ``standardize`` included, through images and values. Patches with NaN get none.

    Example:
        >>> import sparsedef, torch
        >>> image = torch.rand(1, 1, 6, 6)
        >>> code = sparsedef.patch_omp(image, torch.eye(4), n_nonzero=4)
        >>> torch.allclose(code.images, image), code.indices.shape
        (True, torch.Size([1, 25, 4]))

    Source: Elad, Aharon, "Image denoising via sparse and redundant representations", 2006.
    """
    tolerance = 1e-2 if isinstance(images, Tensor) and images.dtype in HALF else 1e-3
    images, dictionary, size = _check_images(images, dictionary)
    check_choice("patch_omp", "standardize", standardize, STANDARDIZE)
    check_choice("patch_omp", "selection", selection, SELECTIONS)
    check_window("patch_omp", (images.shape[2], images.shape[3]), size, stride)
    n_nonzero = check_count("patch_omp", "n_nonzero", n_nonzero)
    n_nonzero = clip_n_nonzero("patch_omp", n_nonzero, dictionary)
    memory = 0 if max_memory is None else check_count("patch_omp", "max_memory", max_memory)
    if not 0 <= tol < math.inf:
        raise ValueError(f"patch_omp: tol must be finite and >= 0, got {tol}")
    if mask is not None:
        _check_mask(mask, images)
    way_out = "torch.nn.functional.normalize(dictionary, dim=1) makes them"
    check_unit_norm("patch_omp", dictionary, tolerance, way_out)
    n_patches = Grid.of(images, dictionary, stride).n_patches
    sizes = (images.shape[0] * n_patches, dictionary.shape[1], dictionary.shape[0])
    options = {"n_nonzero": n_nonzero, "selection": selection, "nonnegative": False}
    options |= {"limits": False, "max_memory": memory}
    problem = Problem("patch_omp", *sizes, images.dtype, images.device, options)
    chosen = select_backend(problem, backend)
    values, indices, rebuilt, n_iter, status = ops.patch_omp(
        images.contiguous(),
        dictionary.contiguous(),
        float(tol),
        None if mask is None else mask.contiguous(),
        n_nonzero,
        stride,
        standardize,
        selection,
        memory,
        chosen,
    )
    return PatchCode(rebuilt, indices, values, n_iter, status, chosen)


def _check_images(images: object, dictionary: object) -> tuple[Tensor, Tensor, int]:
    """Demands images and atoms that fit; gives them in float32 or float64, and the patch's side."""
    images = check_tensor("patch_omp", "images", images)
    dictionary = check_tensor("patch_omp", "dictionary", dictionary)
    check_dictionary("patch_omp", dictionary)
    if images.ndim != 4:
        raise ValueError(f"patch_omp: images must be [B, C, H, W], got {list(images.shape)}")
    n_channels = images.shape[1]
    size = patch_size(dictionary, max(n_channels, 1))
    if n_channels * size**2 != dictionary.shape[1]:
        raise ValueError(
            f"patch_omp: dictionary must be [N, {n_channels} * size * size] to match images of"
            f" {n_channels} channels, got {list(dictionary.shape)}"
        )
    if images.device != dictionary.device:
        raise ValueError(
            f"patch_omp: images and dictionary must be on one device, got {images.device} and"
            f" {dictionary.device} (dictionary.to(images.device) moves it)"
        )
    images, dictionary = meet(images, dictionary)
    if images.dtype != dictionary.dtype:
        raise TypeError(
            f"patch_omp: images and dictionary must have one dtype, got {images.dtype} and"
            f" {dictionary.dtype} (dictionary.to(images.dtype) converts)"
        )
    if images.dtype in HALF:
        images, dictionary = images.float(), dictionary.float()
    return images, dictionary, size


def _check_mask(mask: object, images: Tensor) -> None:
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        what = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"patch_omp: mask must be a bool tensor, got {what} (mask > 0 makes one)")
    wanted = [images.shape[0], *images.shape[2:]]
    if list(mask.shape) != wanted:
        raise ValueError(
            f"patch_omp: mask must be {wanted} to match images {list(images.shape)},"
            f" got {list(mask.shape)}"
        )
    if mask.device != images.device:
        raise ValueError(
            f"patch_omp: mask must be on {images.device} as images are, got {mask.device}"
        )
