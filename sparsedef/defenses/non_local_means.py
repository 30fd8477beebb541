"""Non-local means alone: averages what looks alike, wherever in the neighbourhood it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from torch import Tensor, nn

from sparsedef.defenses.base import Purifier
from sparsedef.defenses.filters import non_local_means

if TYPE_CHECKING:
    from typing_extensions import Self


class NLMSettings(NamedTuple):
    """Windows and strength of non-local means: sides in pixels, strength in [0, 1] units."""

    search: int = 11
    template: int = 3
    strength: float = 4 / 255

    @classmethod
    def for_size(cls, side: int) -> NLMSettings:
        """Gives the published settings: 11-3-4 for photographs, 13-3-2 for those of 32 pixels."""
        if side > 64:
            return cls()
        return cls(search=min(13, 2 * side - 1), strength=2 / 255)


class NonLocalMeans(Purifier):
    """Smooths the image by non-local means, then classifies it.

    Args:
        classifier: Images ``[B, 3, H, W]`` in [0, 1] to logits.
        settings: Of the filter.

    Source: Buades, Coll, Morel, 2005; settings, Xu, Evans, Qi, 2018.
    """

    notes: ClassVar[str] = (
        "Deterministic; differentiable through the weights too. A control, not a defense to rely "
        "on."
    )

    def __init__(self, classifier: nn.Module, *, settings: NLMSettings | None = None) -> None:
        """Keeps the settings; see the class."""
        super().__init__(classifier)
        self.settings = settings or NLMSettings()

    @classmethod
    def fit(cls, classifier: nn.Module, images: Tensor, labels: Tensor, *, seed: int = 0) -> Self:
        """Takes the classifier and the published windows for images of this size."""
        return cls(classifier, settings=NLMSettings.for_size(min(images.shape[-2:])))

    def purify(self, images: Tensor) -> Tensor:
        """Filters images ``[B, 3, H, W]``."""
        return non_local_means(images, **self.settings._asdict())
