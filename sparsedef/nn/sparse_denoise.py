"""A denoiser of images that learns its dictionary and its threshold from what it is judged by."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from sparsedef.backends.patch_pipeline import patch_size
from sparsedef.nn.dictionary import DictionaryLayer
from sparsedef.nn.penalty import log_penalty, penalty
from sparsedef.solvers.checks import check_choice, check_count
from sparsedef.solvers.lasso import lasso
from sparsedef.solvers.omp import SELECTIONS
from sparsedef.solvers.patch_omp import STANDARDIZE, patch_omp, standardize_patches
from sparsedef.solvers.patches import extract_patches, merge_patches


class SparseDenoise(DictionaryLayer):
    """Removes from images what few atoms cannot explain; trained end to end from image to image.

    Overlapping patches are standardised, coded sparsely, rebuilt as z @ dictionary, given their
    statistics back, and averaged where they overlap. Either by the LASSO (``alpha`` given): per
    patch argmin_z 1/2 ||x - z @ dictionary||^2 + alpha ||z||_1, and alpha is learned with the
    dictionary. Or by OMP (``n_nonzero`` given): at most that many atoms, fewer where the squared
    residual falls to ``tol`` (noise of standard deviation s leaves about M s^2), and the
    dictionary is learned.

    Shapes: ``[..., C, H, W]`` to the same; the patch's side follows from M = C * size * size.
    float32, float64, or half precision coded in float32; the output has the dtype of the input,
    under ``torch.autocast`` float32 at least. The LASSO stores all patches, M numbers each, some
    six times over; OMP need not (:class:`sparsedef.nn.PatchOMP` is the same computation).

    Parameters of the module: ``weight`` ``[N, C * size * size]``, the atoms up to their norms
    (``dictionary`` gives them with norm 1), and for the LASSO ``log_alpha`` ``[1]`` (``alpha``
    gives the penalty itself).

    Args:
        dictionary: First atoms, ``[N, M]`` of any norms, copied; or their shape ``(N, M)``, for
            random ones.
        alpha: First penalty, > 0; where it leaves no code nonzero, nothing can be learned from.
            Either this or ``n_nonzero``.
        n_nonzero: Most atoms per patch, by OMP.
        tol: With ``n_nonzero``: stop a patch when its squared residual (standardised) is at most
            this.
        selection: With ``n_nonzero``: ``"omp"`` or ``"ols"``.
        stride: Pixels between neighbouring patches.
        standardize: ``"none"``, ``"mean"`` or ``"zscore"``; see :func:`sparsedef.patch_omp`.
        learn_dictionary: Let the atoms be trained.
        learn_alpha: Let the penalty be trained.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.
        device: Where the parameters are made; of a tensor ``dictionary``: ``None`` keeps its own.
        dtype: Likewise.

    Raises:
        TypeError: Not a tensor, or the wrong dtype.
        ValueError: A shape, a range or an option is wrong.

    Gradients: for the images, ``weight`` and ``log_alpha``; those of OMP are exact while the
    supports stay as they are.

    Example:
        >>> import sparsedef.nn, torch
        >>> layer = sparsedef.nn.SparseDenoise((32, 16), alpha=0.1, stride=2)
        >>> image = torch.rand(1, 8, 8)
        >>> clean = layer(image)
        >>> clean.shape, clean.var() < image.var()
        (torch.Size([1, 8, 8]), tensor(True))

    Source: Elad, Aharon, 2006; Mairal, Bach, Ponce, "Task-driven dictionary learning", 2012.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (
        "n_nonzero", "tol", "selection", "stride", "standardize", "learn_dictionary",
        "learn_alpha", "backend",
    )  # fmt: skip

    log_alpha: nn.Parameter | None

    def __init__(
        self,
        dictionary: Tensor | tuple[int, int],
        alpha: float | None = None,
        *,
        n_nonzero: int | None = None,
        tol: float = 0.0,
        selection: str = "omp",
        stride: int = 1,
        standardize: str = "mean",
        learn_dictionary: bool = True,
        learn_alpha: bool = True,
        backend: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(dictionary, learn_dictionary=learn_dictionary, device=device, dtype=dtype)
        who = "SparseDenoise"
        check_choice(who, "standardize", standardize, STANDARDIZE)
        check_choice(who, "selection", selection, SELECTIONS)
        if (alpha is None) == (n_nonzero is None):
            raise ValueError(
                f"{who}: one of alpha (codes by the LASSO) and n_nonzero (by OMP) must be given,"
                f" got {'neither' if alpha is None else 'both'}"
            )
        if alpha is not None and (tol != 0 or selection != "omp"):
            raise ValueError(
                f"{who}: tol and selection are OMP's, which n_nonzero asks for; got alpha with"
                f" tol={tol}, selection={selection!r}"
            )
        if not 0 <= tol < math.inf:
            raise ValueError(f"{who}: tol must be finite and >= 0, got {tol}")
        self.log_alpha = (
            None if alpha is None else log_penalty(who, alpha, self.weight, learn_alpha)
        )
        self.n_nonzero = None if n_nonzero is None else check_count(who, "n_nonzero", n_nonzero)
        self.tol = tol
        self.selection = selection
        self.stride = check_count(who, "stride", stride)
        self.standardize = standardize
        self.backend = backend

    @property
    def alpha(self) -> Tensor | None:
        """The penalty, positive, without a dimension; differentiable. ``None`` with OMP."""
        return None if self.log_alpha is None else penalty(self.log_alpha)

    @property
    def learn_alpha(self) -> bool:
        """Whether the penalty takes part in training."""
        return self.log_alpha is not None and self.log_alpha.requires_grad

    def forward(self, images: Tensor) -> Tensor:
        """Denoised images ``[..., C, H, W]``."""
        pictures, back = self._pictures(images)
        clean = self._by_lasso(pictures) if self.n_nonzero is None else self._by_omp(pictures)
        return clean.to(back).reshape(images.shape)

    def _by_omp(self, pictures: Tensor) -> Tensor:
        assert self.n_nonzero is not None
        return patch_omp(
            pictures,
            self.dictionary,
            self.n_nonzero,
            stride=self.stride,
            standardize=self.standardize,
            tol=self.tol,
            selection=self.selection,
            backend=self.backend,
        ).images

    def _by_lasso(self, pictures: Tensor) -> Tensor:
        n_channels, height, width = pictures.shape[1:]
        size = patch_size(self.weight, max(n_channels, 1))
        if n_channels * size**2 != self.n_features:
            raise ValueError(
                f"SparseDenoise: images must have C channels, C * size * size = {self.n_features},"
                f" to match weight {list(self.weight.shape)}, got {n_channels}"
            )
        patches = extract_patches(pictures, size, self.stride)
        standard, shift, scale = standardize_patches(patches, self.standardize)
        signals = standard.flatten(0, 1)
        code = lasso(signals, self.dictionary, self.alpha, layout="compact", backend=self.backend)
        clean = (signals - code.residual).reshape(patches.shape) * scale + shift
        return merge_patches(clean, (height, width), size, self.stride)
