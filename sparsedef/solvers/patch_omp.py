"""Sparse coding of whole images, patch by patch."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from sparsedef.solvers.checks import check_choice, check_dictionary, check_tensor
from sparsedef.solvers.omp import omp
from sparsedef.solvers.patches import extract_patches, merge_patches

STANDARDIZE = ("none", "mean", "zscore")
STD_FLOOR = 1e-2


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
    backend: str = "auto",
) -> PatchCode:
    """Rebuilds images from a few atoms per patch: extract, code by OMP, average the overlaps.

    Args:
        images: ``[B, C, H, W]``, float32 or float64.
        dictionary: Atoms of norm 1, ``[N, C * size * size]``; the patch size follows from it.
        n_nonzero: Atoms per patch K.
        stride: Pixels between neighbouring patches.
        standardize: What to take from the patches before coding and to give back after:
            ``"none"``; ``"mean"``, each patch's own mean; ``"zscore"``, per image and per
            dimension, the mean and standard deviation (at least 0.01) over the image's patches.
        tol: Stop a patch when its squared residual (standardised) is at most this.
        selection: ``"omp"`` or ``"ols"``, see :func:`sparsedef.omp`.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.

    Returns:
        ``PatchCode``. With ``n_nonzero`` = C * size * size and atoms that span the space, its
        images equal the input to rounding.

    Raises:
        TypeError: Not tensors, or the wrong or mixed dtypes.
        ValueError: A shape, a range, an option or an atom's norm is wrong.
        BackendError: The forced backend cannot do this.

    Gradients: exact for ``images`` and ``dictionary`` while the supports stay as they are, the
    statistics of ``standardize`` included.

    Example:
        >>> import sparsedef, torch
        >>> image = torch.rand(1, 1, 6, 6)
        >>> code = sparsedef.patch_omp(image, torch.eye(4), n_nonzero=4)
        >>> torch.allclose(code.images, image), code.indices.shape
        (True, torch.Size([1, 25, 4]))

    Source: Elad, Aharon, "Image denoising via sparse and redundant representations", 2006.
    """
    images = check_tensor("patch_omp", "images", images)
    dictionary = check_tensor("patch_omp", "dictionary", dictionary)
    check_choice("patch_omp", "standardize", standardize, STANDARDIZE)
    check_dictionary("patch_omp", dictionary)
    if images.ndim != 4:
        raise ValueError(f"patch_omp: images must be [B, C, H, W], got {list(images.shape)}")
    n_channels, height, width = images.shape[1:]
    size = math.isqrt(dictionary.shape[1] // max(n_channels, 1))
    if n_channels * size**2 != dictionary.shape[1]:
        raise ValueError(
            f"patch_omp: dictionary must be [N, {n_channels} * size * size] to match images of"
            f" {n_channels} channels, got {list(dictionary.shape)}"
        )
    patches = extract_patches(images, size, stride)
    standard, shift, scale = standardize_patches(patches, standardize)
    code = omp(
        standard.flatten(0, 1),
        dictionary,
        n_nonzero,
        tol=tol,
        selection=selection,
        layout="compact",
        backend=backend,
    )
    rebuilt = (standard - code.residual.view_as(standard)) * scale + shift
    assert code.indices is not None
    assert code.values is not None
    shape = patches.shape[:2]
    return PatchCode(
        merge_patches(rebuilt, (height, width), size, stride),
        code.indices.unflatten(0, shape),
        code.values.unflatten(0, shape),
        code.n_iter.unflatten(0, shape),
        code.status.unflatten(0, shape),
        code.backend,
    )


def standardize_patches(patches: Tensor, how: str) -> tuple[Tensor, Tensor, Tensor]:
    """Gives standardised patches with the shift and scale that undo it; all differentiable.

    Args:
        patches: ``[B, P, M]``.
        how: One of ``"none"``, ``"mean"``, ``"zscore"``; see :func:`patch_omp`.

    Returns:
        Standard patches, shift and scale with ``standard * scale + shift == patches``.
    """
    if how == "none":
        return patches, patches.new_zeros(()), patches.new_ones(())
    if how == "mean":
        shift = patches.mean(dim=2, keepdim=True)
        return patches - shift, shift, patches.new_ones(())
    shift = patches.mean(dim=1, keepdim=True)
    # The floor is under the root, so that the gradient stays finite on flat images.
    spread = (patches - shift).square().mean(dim=1, keepdim=True)
    scale = spread.clamp_min(STD_FLOOR**2).sqrt()
    return (patches - shift) / scale, shift, scale
