"""Bilateral filtering alone: the cheap control for any defense that also smooths."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from sparsedef.defenses.base import Purifier
from sparsedef.defenses.filters import bilateral_filter
from sparsedef.defenses.regionsparse_stages import RegionSparseSizes

if TYPE_CHECKING:
    from typing_extensions import Self


class Bilateral(Purifier):
    """Smooths the whole image by a bilateral filter, then classifies it.

    Args:
        classifier: Images ``[B, 3, H, W]`` in [0, 1] to logits.
        size: Side of the filter's window, odd.
        sigma_color: Colour distance that still counts as alike, in [0, 1] units.
        sigma_space: Spatial reach in pixels.
    """

    notes: ClassVar[str] = "Differentiable everywhere; a control, not a defense to rely on."

    def __init__(
        self,
        classifier: nn.Module,
        *,
        size: int = 5,
        sigma_color: float = 25 / 255,
        sigma_space: float = 2.0,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(classifier)
        self.size = size
        self.sigma_color = sigma_color
        self.sigma_space = sigma_space

    @classmethod
    def fit(cls, classifier: nn.Module, images: Tensor, labels: Tensor, *, seed: int = 0) -> Self:
        """Takes the classifier, and the filter that RegionSparse has for its background."""
        sizes = RegionSparseSizes.for_size(min(images.shape[-2:]))
        return cls(classifier, size=sizes.bilateral_size, sigma_space=sizes.sigma_space)

    def purify(self, images: Tensor) -> Tensor:
        """Filters images ``[B, 3, H, W]``."""
        return bilateral_filter(
            images, size=self.size, sigma_color=self.sigma_color, sigma_space=self.sigma_space
        )
