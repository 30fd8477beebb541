"""Feature squeezing: less colour depth, less detail; and a detector from what that changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from sparsedef.defenses.base import Purifier, check_images
from sparsedef.defenses.filters import median_filter, non_local_means, reduce_bit_depth
from sparsedef.defenses.non_local_means import NLMSettings
from sparsedef.solvers.checks import check_count

if TYPE_CHECKING:
    from typing_extensions import Self

Squeezer = Callable[[Tensor], Tensor]


class FeatureSqueezing(Purifier):
    """Reduces bit depth, takes medians, smooths by non-local means; then classifies.

    As a purifier the three squeezers act one after another. As a detector each acts alone on the
    image, and the score is the largest change of the classifier's answer,

        ``score(x) = max_i || softmax(f(x)) - softmax(f(squeeze_i(x))) ||_1``, in [0, 2];

    an image is flagged when that exceeds a threshold fitted on clean images.

    Args:
        classifier: Images ``[B, 3, H, W]`` in [0, 1] to logits.
        bits: Per channel, 1 to 16; ``None`` leaves the step out.
        median: Side of the median's window; ``None`` leaves it out.
        nlm: Of non-local means; ``None`` leaves it out.

    Raises:
        ValueError: No squeezer is left, or a number is out of range.

    Source: Xu, Evans, Qi, 2018.
    """

    has_exact_gradient: ClassVar[bool] = False
    notes: ClassVar[str] = (
        "Rounds to few levels, so its true gradient is zero; the surrogate passes the rounding "
        "as the identity and differentiates the median and the smoothing exactly. Its detector "
        "is no part of the logits: to judge it, attack the score too."
    )

    threshold: Tensor

    def __init__(
        self,
        classifier: nn.Module,
        *,
        bits: int | None = 5,
        median: int | None = 2,
        nlm: NLMSettings | None = None,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(classifier)
        if bits is None and median is None and nlm is None:
            raise ValueError("FeatureSqueezing: bits, median and nlm are all None")
        if bits is not None and check_count("FeatureSqueezing", "bits", bits) > 16:
            raise ValueError(f"FeatureSqueezing: bits must be at most 16, got {bits}")
        if median is not None:
            check_count("FeatureSqueezing", "median", median)
        self.bits = bits
        self.median = median
        self.nlm = nlm
        self.register_buffer("threshold", torch.tensor(math.nan))

    @classmethod
    def fit(cls, classifier: nn.Module, images: Tensor, labels: Tensor, *, seed: int = 0) -> Self:
        """Takes the published joint settings for this size, and fits the detector's threshold.

        5 bits, a 2 x 2 median, and non-local means 11-3-4 or, up to 64 pixels, 13-3-2; 5% of the
        clean images flagged.
        """
        defense = cls(classifier, nlm=NLMSettings.for_size(min(images.shape[-2:])))
        return defense.fit_threshold(images)

    def squeeze(self, images: Tensor) -> list[Tensor]:
        """Applies each squeezer alone to images ``[B, 3, H, W]``; as many of the same shape."""
        return [step(images) for step in self._steps()]

    def purify(self, images: Tensor) -> Tensor:
        """Applies the squeezers one after another to images ``[B, 3, H, W]``."""
        for step in self._steps():
            images = step(images)
        return images

    def surrogate(self, images: Tensor) -> Tensor:
        """The true logits; only the rounding to few levels is differentiated as the identity."""
        check_images(type(self).__name__, images)
        return self.logits(images)

    def score(self, images: Tensor) -> Tensor:
        """Measures how much squeezing changes the answer, ``[B]`` in [0, 2]; differentiable."""
        check_images(type(self).__name__, images)
        answer = self.classifier(images).softmax(1)
        changes = [
            (answer - self.classifier(squeezed).softmax(1)).abs().sum(1)
            for squeezed in self.squeeze(images)
        ]
        return torch.stack(changes).amax(0)

    @torch.no_grad()
    def fit_threshold(self, images: Tensor, *, false_positive_rate: float = 0.05) -> Self:
        """Sets the threshold so that at most this share of clean ``images`` is flagged.

        The classifier is asked in evaluation mode.

        Raises:
            ValueError: There are no images, or the rate is not in [0, 1).
        """
        if not 0 <= false_positive_rate < 1 or len(images) == 0:
            raise ValueError(
                f"FeatureSqueezing: threshold must be fitted on at least one image with a "
                f"false_positive_rate in [0, 1), got {len(images)} images and "
                f"{false_positive_rate}"
            )
        modes = {part: part.training for part in self.modules()}
        self.eval()
        try:
            scores = torch.cat([self.score(some) for some in images.split(128)])
        finally:
            for part, training in modes.items():
                part.training = training
        limit = scores.quantile(1 - false_positive_rate, interpolation="higher")
        self.threshold.copy_(limit)
        return self

    def is_flagged(self, images: Tensor) -> Tensor:
        """Says which images the detector takes for attacked, ``[B]`` bool.

        Raises:
            ValueError: The threshold was not fitted.
        """
        if self.threshold.isnan():
            raise ValueError("FeatureSqueezing: threshold must be fitted first (fit_threshold)")
        return self.score(images) > self.threshold

    def _steps(self) -> list[Squeezer]:
        steps: list[Squeezer] = []
        if (bits := self.bits) is not None:
            steps.append(lambda images: reduce_bit_depth(images, bits))
        if (size := self.median) is not None:
            steps.append(lambda images: median_filter(images, size=size))
        if (nlm := self.nlm) is not None:
            steps.append(lambda images: non_local_means(images, **nlm._asdict()))
        return steps
