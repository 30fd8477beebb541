"""Patch coding as a layer from images to images."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from sparsedef.nn.dictionary import DictionaryLayer
from sparsedef.solvers.checks import check_choice, check_count
from sparsedef.solvers.omp import SELECTIONS
from sparsedef.solvers.patch_omp import STANDARDIZE, PatchCode, patch_omp


class PatchOMP(DictionaryLayer):
    """Rebuilds images from a few atoms per patch, and learns the atoms from any loss.

    Every patch is standardised, replaced by its best approximation with at most ``n_nonzero``
    atoms, and given its statistics back; a pixel is the mean of the patches over it; see
    :func:`sparsedef.patch_omp`.

    Shapes: ``[..., C, H, W]`` to the same; the patch's side follows from M = C * size * size.
    float32, float64, or half precision coded in float32; the output has the dtype of the input,
    under ``torch.autocast`` float32 at least.

    Parameter of the module: ``weight`` ``[N, C * size * size]``, the atoms up to their norms
    (``dictionary`` gives them with norm 1).

    Args:
        dictionary: First atoms, ``[N, M]`` of any norms, copied; or their shape ``(N, M)``, for
            random ones.
        n_nonzero: Most atoms per patch.
        stride: Pixels between neighbouring patches.
        standardize: ``"none"``, ``"mean"`` or ``"zscore"``.
        tol: Stop a patch when its squared residual (standardised) is at most this.
        selection: ``"omp"`` or ``"ols"``.
        learn_dictionary: Let the atoms be trained.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.
        device: Where the parameter is made; of a tensor ``dictionary``: ``None`` keeps its own.
        dtype: Likewise.

    Raises:
        TypeError: Not a tensor, or the wrong dtype.
        ValueError: A shape, a range or an option is wrong.

    Gradients: exact for the images and ``weight`` while the supports stay as they are.

    Example:
        >>> import sparsedef.nn, torch
        >>> layer = sparsedef.nn.PatchOMP(torch.eye(4), n_nonzero=4)
        >>> image = torch.rand(1, 6, 6)
        >>> torch.allclose(layer(image), image)
        True

    Source: Elad, Aharon, "Image denoising via sparse and redundant representations", 2006.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (
        "n_nonzero", "stride", "standardize", "tol", "selection", "learn_dictionary", "backend",
    )  # fmt: skip

    def __init__(
        self,
        dictionary: Tensor | tuple[int, int],
        n_nonzero: int,
        *,
        stride: int = 1,
        standardize: str = "mean",
        tol: float = 0.0,
        selection: str = "omp",
        learn_dictionary: bool = True,
        backend: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(dictionary, learn_dictionary=learn_dictionary, device=device, dtype=dtype)
        check_choice("PatchOMP", "standardize", standardize, STANDARDIZE)
        check_choice("PatchOMP", "selection", selection, SELECTIONS)
        self.n_nonzero = check_count("PatchOMP", "n_nonzero", n_nonzero)
        self.stride = check_count("PatchOMP", "stride", stride)
        self.standardize = standardize
        self.tol = tol
        self.selection = selection
        self.backend = backend

    def encode(self, images: Tensor) -> PatchCode:
        """Gives indices, values and status of every patch: the result of ``sparsedef.patch_omp``.

        Args:
            images: ``[..., C, H, W]``; the result has an entry for each, in their order.
        """
        return self._code(self._pictures(images)[0])

    def forward(self, images: Tensor) -> Tensor:
        """Rebuilt images ``[..., C, H, W]``."""
        pictures, back = self._pictures(images)
        return self._code(pictures).images.to(back).reshape(images.shape)

    def _code(self, pictures: Tensor) -> PatchCode:
        return patch_omp(
            pictures,
            self.dictionary,
            self.n_nonzero,
            stride=self.stride,
            standardize=self.standardize,
            tol=self.tol,
            selection=self.selection,
            backend=self.backend,
        )
