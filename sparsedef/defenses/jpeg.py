"""JPEG compression as a defense: what the file format throws away, the attack may have needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from sparsedef.defenses.base import Purifier, check_images
from sparsedef.defenses.filters import jpeg_round_trip
from sparsedef.defenses.filters.jpeg import quantisation_tables
from sparsedef.solvers.checks import check_choice

if TYPE_CHECKING:
    from typing_extensions import Self


class JPEG(Purifier):
    """Saves the image as JPEG, reads it back, and classifies that.

    Args:
        classifier: Images ``[B, 3, H, W]`` in [0, 1] to logits.
        quality: 1 to 100, of the usual scale.
        subsample: Keep one colour per 2 x 2 pixels (4:2:0), as encoders do by default.
        gradient: What the surrogate takes for the derivative of rounding a coefficient:
            ``"cubic"`` or ``"straight"``; see ``filters.jpeg_round_trip``.

    Raises:
        ValueError: ``quality`` or ``gradient`` is out of range.

    Source: Dziugaite, Ghahramani, Roy, 2016; the surrogate, Shin, Song, 2017.
    """

    has_exact_gradient: ClassVar[bool] = False
    notes: ClassVar[str] = (
        "Rounds, so its true gradient is zero: apparent robustness against attacks that follow "
        "it means nothing. The surrogate differentiates the whole codec with a stand-in for the "
        "rounding."
    )

    def __init__(
        self,
        classifier: nn.Module,
        *,
        quality: int = 75,
        subsample: bool = True,
        gradient: str = "cubic",
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(classifier)
        quantisation_tables(quality)
        check_choice("JPEG", "gradient", gradient, ("cubic", "straight"))
        self.quality = quality
        self.subsample = subsample
        self.gradient = gradient

    @classmethod
    def fit(cls, classifier: nn.Module, images: Tensor, labels: Tensor, *, seed: int = 0) -> Self:
        """Takes the classifier and the quality that the comparisons use, 75."""
        return cls(classifier)

    def purify(self, images: Tensor) -> Tensor:
        """Passes images ``[B, 3, H, W]`` through the codec; to 8-bit values, as a file does."""
        return jpeg_round_trip(
            images, quality=self.quality, subsample=self.subsample, gradient=self.gradient
        )

    def surrogate(self, images: Tensor) -> Tensor:
        """The true logits, with a gradient through the codec in place of the identity's."""
        check_images(type(self).__name__, images)
        return self.logits(images)
