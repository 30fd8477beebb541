"""What CARSO is compared with: a denoiser without samples, and purifiers from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from sparsedef.defenses.base import Purifier
from sparsedef.models.carso import CARSOPurifier
from sparsedef.models.taps import INPUT, read_layers

if TYPE_CHECKING:
    from typing_extensions import Self


class ConditionalDenoiser(Purifier):
    """Rebuilds the image by the decoder alone, from pixels or features: CARSO without a latent.

    Args:
        classifier: Images to logits.
        purifier: With ``latent=0``.
        taps: Names of the layers that it reads; by default the pixels.

    Raises:
        ValueError: The purifier has a latent.
    """

    notes: ClassVar[str] = "Deterministic and differentiable; one reconstruction, no sampling."

    def __init__(
        self, classifier: nn.Module, purifier: CARSOPurifier, *, taps: Sequence[str] = (INPUT,)
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(classifier)
        if purifier.latent:
            raise ValueError(
                f"ConditionalDenoiser: purifier must have latent=0, got {purifier.latent}"
            )
        self.purifier, self.taps = purifier, tuple(taps)
        self.eval()

    @classmethod
    def fit(cls, classifier: nn.Module, images: Tensor, labels: Tensor, *, seed: int = 0) -> Self:
        """Trains a small one, briefly, on pixels, as ``CARSO.fit``."""
        from dataclasses import replace

        from sparsedef.defenses.carso.fitting import BRIEF, fit_purifier

        sizes = replace(BRIEF, latent=0)
        return cls(
            classifier, fit_purifier(classifier, images, labels, sizes, seed=seed, taps=(INPUT,))
        )

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode: batch statistics would leak between images."""
        return super().train(False)

    def purify(self, images: Tensor) -> Tensor:
        """Rebuilds images ``[B, 3, H, W]``."""
        c = self.purifier.condition(read_layers(self.classifier, self.taps, images))
        return self.purifier.decode(c.new_zeros(len(c), 0), c)


class ExternalPurifier(Purifier):
    """Any purifier from outside, such as a diffusion model: a module from images to images.

    Args:
        classifier: Images to logits.
        network: Images ``[B, 3, H, W]`` in [0, 1] to the same; differentiable, or its gradient is
            wrong: attacks differentiate it as it is, and the identity beside it.

    Raises:
        TypeError: It is not a module.
    """

    is_random: ClassVar[bool] = True
    notes: ClassVar[str] = (
        "A purifier from outside, taken as random and as differentiable: if it computes without "
        "gradients, attacks stop with an error."
    )

    def __init__(self, classifier: nn.Module, network: nn.Module) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(classifier)
        if not isinstance(network, nn.Module):
            raise TypeError(
                f"ExternalPurifier: network must be a module, got {type(network).__name__}"
            )
        self.network = network

    @classmethod
    def fit(cls, classifier: nn.Module, images: Tensor, labels: Tensor, *, seed: int = 0) -> Self:
        """There is nothing to fit: give the network."""
        raise ValueError("ExternalPurifier: give a network: ExternalPurifier(classifier, network)")

    def purify(self, images: Tensor) -> Tensor:
        """Runs the network and brings its images back into [0, 1]; NaN stays, and is no answer."""
        found: Tensor = self.network(images)
        if found.shape != images.shape:
            raise ValueError(
                f"ExternalPurifier: network must give {list(images.shape)}, got {list(found.shape)}"
            )
        return found.clamp(0, 1)
