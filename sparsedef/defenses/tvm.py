"""Total variation as a defense: plain denoising, and minimisation from a random half of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from sparsedef.defenses.base import Purifier
from sparsedef.defenses.filters import total_variation
from sparsedef.solvers.checks import check_count

if TYPE_CHECKING:
    from typing_extensions import Self


class TotalVariation(Purifier):
    """Denoises the image by least total variation, then classifies it.

    Replaces an image by ``steps`` iterations towards the minimiser of
    ``1/2 ||z - image||^2 + weight * TV(z)``; see ``filters.total_variation``.

    Args:
        classifier: Images ``[B, 3, H, W]`` in [0, 1] to logits.
        weight: Of the total variation, in [0, 1] units.
        steps: Number of iterations.

    Raises:
        ValueError: ``weight`` is not above 0, or ``steps`` below 1.

    Source: Rudin, Osher, Fatemi, 1992.
    """

    notes: ClassVar[str] = (
        "Deterministic and differentiable through every iteration of the solver. But flat regions "
        "pass small changes only as their mean, so gradients at a clean image mislead: attacks "
        "begun at what fools the bare classifier are stronger, and must be made too."
    )

    def __init__(self, classifier: nn.Module, *, weight: float = 0.03, steps: int = 50) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(classifier)
        if not weight > 0:
            raise ValueError(f"{type(self).__name__}: weight must be > 0, got {weight}")
        self.weight = weight
        self.steps = check_count(type(self).__name__, "steps", steps)

    @classmethod
    def fit(cls, classifier: nn.Module, images: Tensor, labels: Tensor, *, seed: int = 0) -> Self:
        """Takes the classifier; the published weight does not depend on the image's size."""
        return cls(classifier)

    def purify(self, images: Tensor) -> Tensor:
        """Denoises images ``[B, 3, H, W]``."""
        return total_variation(images, weight=self.weight, steps=self.steps).clamp(0, 1)


class TVM(TotalVariation):
    """Drops random pixels and rebuilds the image from the rest by least total variation.

    Each call draws a mask ``m``, 0 with probability ``drop``, and classifies ``steps`` iterations
    towards the minimiser of ``1/2 ||m * (z - image)||^2 + weight * TV(z)``. Masks are drawn from
    torch's global generator: ``torch.manual_seed`` repeats them.

    Args:
        classifier: Images ``[B, 3, H, W]`` in [0, 1] to logits.
        drop: Probability that a pixel is dropped, at least 0 and below 1.
        is_per_channel: Draw for each channel by itself, not for whole pixels.
        weight: Of the total variation, in [0, 1] units.
        steps: Number of iterations.

    Raises:
        ValueError: A number is out of range.

    The source leaves the data term unsquared and sums the slopes of whole rows; here both are
    those of Rudin, Osher and Fatemi, whose minimiser is smooth in the image.

    Source: Guo, Rana, Cisse, van der Maaten, 2018.
    """

    is_random: ClassVar[bool] = True
    notes: ClassVar[str] = (
        "Random: each call draws the pixels that it drops; attacks have to average over draws. "
        "Differentiable for each draw through every iteration of the solver, but gradients at a "
        "clean image mislead: begin also at what fools the bare classifier."
    )

    def __init__(
        self,
        classifier: nn.Module,
        *,
        drop: float = 0.5,
        is_per_channel: bool = False,
        weight: float = 0.03,
        steps: int = 100,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(classifier, weight=weight, steps=steps)
        if not 0 <= drop < 1:
            raise ValueError(f"TVM: drop must be at least 0 and below 1, got {drop}")
        self.drop = drop
        self.is_per_channel = is_per_channel

    def draw_mask(self, images: Tensor) -> Tensor:
        """Draws which pixels stay: ``[B, 3, H, W]``, or ``[B, 1, H, W]`` for whole pixels, bool."""
        batch, channels, height, width = images.shape
        shape = (batch, channels if self.is_per_channel else 1, height, width)
        # float32 whatever the images are: the same seed gives the same mask in either precision
        return torch.rand(shape, dtype=torch.float32, device=images.device) >= self.drop

    def purify(self, images: Tensor) -> Tensor:
        """Rebuilds images ``[B, 3, H, W]`` from a fresh draw of their pixels."""
        mask = self.draw_mask(images)
        found = total_variation(images, weight=self.weight, steps=self.steps, mask=mask)
        return found.clamp(0, 1)
