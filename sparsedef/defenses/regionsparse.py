"""RegionSparse: rebuild the object from a few clean patches, smooth the rest."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from sparsedef.defenses.base import Purifier
from sparsedef.defenses.filters import Localiser, bilateral_filter, box_mask
from sparsedef.defenses.patch_dictionary import learn_patch_dictionary, training_patches
from sparsedef.solvers.checks import check_count, check_dictionary
from sparsedef.solvers.omp import omp
from sparsedef.solvers.patch_omp import standardize_patches
from sparsedef.solvers.patches import extract_patches, merge_patches

if TYPE_CHECKING:
    from typing_extensions import Self


class RegionSparse(Purifier):
    """Codes overlapping patches inside the object's box sparsely; filters bilaterally outside.

    Each patch that touches the box is z-scored with the statistics of its own image, replaced by
    its best approximation with at most ``n_nonzero`` atoms (OMP), un-scaled and averaged with its
    overlaps; pixels outside the box are smoothed; the result is clipped to [0, 1].

    Autograd gives the exact derivative with the box and each patch's support held fixed, which
    is the derivative almost everywhere. Discontinuities where a box or a support switches remain.

    Args:
        classifier: Images ``[B, 3, H, W]`` in [0, 1] to logits.
        dictionary: Unit-norm atoms ``[N, 3 * size * size]`` of z-scored clean patches.
        n_nonzero: Atoms per patch.
        stride: Pixels between neighbouring patches.
        localiser: Where the object is.
        bilateral_size: Side of the background filter's window, odd.
        sigma_color: Its colour reach, in [0, 1] units.
        sigma_space: Its spatial reach, in pixels.
        backend: Of the sparse coder: ``"auto"`` or a name from ``sparsedef.backends()``.

    Raises:
        ValueError: The dictionary is not one of square RGB patches, or a number is out of range.

    The published design leaves most sizes open; those here are this library's defaults.

    Source: patches, Mairal, Bach, Ponce, Sapiro, 2009; bilateral filter, Tomasi, Manduchi, 1998.
    """

    notes: ClassVar[str] = (
        "Deterministic and differentiable with box and supports held fixed; published results of "
        "this design are gray-box, that is, made without the defense in the attack's gradient."
    )

    dictionary: Tensor

    def __init__(
        self,
        classifier: nn.Module,
        dictionary: Tensor,
        *,
        n_nonzero: int = 8,
        stride: int = 2,
        localiser: Localiser | None = None,
        bilateral_size: int = 5,
        sigma_color: float = 25 / 255,
        sigma_space: float = 2.0,
        backend: str = "auto",
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(classifier)
        check_dictionary("RegionSparse", dictionary)
        size = math.isqrt(dictionary.shape[1] // 3)
        if 3 * size * size != dictionary.shape[1]:
            raise ValueError(
                f"RegionSparse: dictionary must be [N, 3 * size * size], atoms of square RGB "
                f"patches, got {list(dictionary.shape)}"
            )
        self.register_buffer("dictionary", dictionary)
        self.patch_size = size
        self.n_nonzero = check_count("RegionSparse", "n_nonzero", n_nonzero)
        self.stride = check_count("RegionSparse", "stride", stride)
        self.localiser = localiser or Localiser()
        self.bilateral_size = bilateral_size
        self.sigma_color = sigma_color
        self.sigma_space = sigma_space
        self.backend = backend

    @classmethod
    def fit(
        cls,
        classifier: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int = 0,
        dictionary: Tensor | None = None,
    ) -> Self:
        """Learns the dictionary from clean images, with sizes scaled to images near 32 pixels.

        What can be scaled is scaled, none of it is tuned: at 299 pixels 8 x 8 RGB patches (192
        numbers), 512 atoms and 8 of them per patch; here 4 x 4 (48 numbers; less is no patch),
        hence 128 atoms and 2 of them per patch; the localiser's windows shrink with the side, and
        the background filter's from 5 x 5 to 3 x 3.

        Args:
            classifier: What to defend.
            images: Clean training images ``[B, 3, H, W]``; the first 200 are used.
            labels: Not used.
            seed: Of the draw of patches and of the learning.
            dictionary: Learnt before by the same call; then nothing is learnt.
        """
        if dictionary is None:
            signals = training_patches(
                images[:200], 4, per_image=40, nlm_strength=10 / 255, nlm_template=3,
                nlm_search=7, seed=seed,
            )  # fmt: skip
            dictionary = learn_patch_dictionary(signals, 128, seed=seed)
        return cls(
            classifier,
            dictionary,
            n_nonzero=2,
            stride=2,
            localiser=Localiser.for_size(images.shape[-1]),
            bilateral_size=3,
            sigma_space=1.0,
        )

    def boxes(self, images: Tensor) -> Tensor:
        """Where the object is: top, left, bottom, right, ends excluded, ``[B, 4]`` int64."""
        return self.localiser.boxes(images.detach())

    def purify(self, images: Tensor) -> Tensor:
        """Rebuilds images ``[B, 3, H, W]`` inside the box and smooths them outside."""
        height, width = images.shape[-2:]
        inside = box_mask(self.boxes(images), height, width)
        background = bilateral_filter(
            images,
            size=self.bilateral_size,
            sigma_color=self.sigma_color,
            sigma_space=self.sigma_space,
        )
        return torch.where(inside, self._rebuild(images, inside), background).clamp(0, 1)

    def _rebuild(self, images: Tensor, inside: Tensor) -> Tensor:
        """Codes the patches that touch ``inside`` ``[B, 1, H, W]``; other pixels stay undefined."""
        patches = extract_patches(images, self.patch_size, self.stride)
        standard, shift, scale = standardize_patches(patches, "zscore")
        touches = extract_patches(inside.to(images), self.patch_size, self.stride).amax(2) > 0
        image, place = torch.nonzero(touches, as_tuple=True)
        signals = standard[image, place]
        code = omp(
            signals,
            self.dictionary,
            self.n_nonzero,
            layout="compact",
            backend=self.backend,
        )
        rebuilt = torch.zeros_like(standard).index_put((image, place), signals - code.residual)
        size = (images.shape[2], images.shape[3])
        return merge_patches(rebuilt * scale + shift, size, self.patch_size, self.stride)
