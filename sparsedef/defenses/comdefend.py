"""ComDefend: compress the image to bits that small changes do not reach, and rebuild it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.defenses.base import Purifier, check_images
from sparsedef.models.comdefend import ComDefendCodec
from sparsedef.models.seeded import seeded
from sparsedef.solvers.checks import check_count
from sparsedef.training.comdefend import train_comdefend
from sparsedef.training.step import Tensors

if TYPE_CHECKING:
    from typing_extensions import Self


class ComDefend(Purifier):
    """Rebuilds the image from 12 bits per pixel, then classifies it.

    The bits are ``u > 0`` of the codec's ``u = encode(x)``; the classifier sees ``decode(bits)``.
    Deterministic: the noise of the training is left out, as it changes hardly a bit of a code
    that was made to outgrow it; ``NoisyComDefend`` keeps it, as one of the published scripts does.

    Args:
        classifier: Images ``[B, 3, H, W]`` in [0, 1] to logits.
        codec: The trained networks.
        tile: Codes squares of this side each for itself, as the published evaluation did with 32
            pixels; ``None`` codes the whole image, without borders between tiles.

    Raises:
        ValueError: ``tile`` is not positive.

    Source: Jia, Wei, Cao, Foroosh, 2019.
    """

    has_exact_gradient: ClassVar[bool] = False
    notes: ClassVar[str] = (
        "Rounds to bits, so its true gradient is zero; the surrogate passes each bit as "
        "sigmoid(u / sigma), as smooth as the noise of the training makes it on average, and "
        "differentiates both networks exactly. That is stronger by far than the identity in the "
        "whole defense's place, or sigmoid(u), which is as flat as the bits."
    )

    codec: ComDefendCodec

    def __init__(
        self, classifier: nn.Module, codec: ComDefendCodec, *, tile: int | None = None
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(classifier)
        self.codec = codec
        self.tile = None if tile is None else check_count("ComDefend", "tile", tile)

    @classmethod
    def fit(
        cls,
        classifier: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int = 0,
        codec: ComDefendCodec | None = None,
    ) -> Self:
        """Trains a codec a quarter as wide as the published one, briefly.

        Four epochs of at most 1,000 images, in crops of at most 32 pixels; the epoch that rebuilds
        the first 64 of them best. ``sparsedef train comdefend`` trains longer, wider, and on all.

        Args:
            classifier: What to defend.
            images: Clean training images ``[B, 3, H, W]``.
            labels: Not used.
            seed: Of the networks' start and of the training.
            codec: Trained before; then nothing is trained.
        """
        if codec is None:
            with seeded(seed):
                codec = ComDefendCodec(width=4)
            codec.to(images)
            train_comdefend(
                codec, images[:1000], seed=seed, validation=Tensors(images[:64]), is_silent=True
            )
            codec.requires_grad_(False)
        return cls(classifier, codec)

    def noisy(self, code: Tensor) -> Tensor:
        """What is added to ``u`` ``[B, 12, H, W]`` before it is rounded: here nothing."""
        return code

    def purify(self, images: Tensor) -> Tensor:
        """Rebuilds images ``[B, 3, H, W]`` from their bits."""
        if self.tile is None:
            return self._code(images)
        batch, channels, height, width = images.shape
        side = self.tile
        padded = functional.pad(images, (0, -width % side, 0, -height % side), mode="replicate")
        rows, columns = (each // side for each in padded.shape[-2:])
        tiles = padded.view(batch, channels, rows, side, columns, side)
        tiles = tiles.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, side, side)
        coded = self._code(tiles).view(batch, rows, columns, channels, side, side)
        joined = coded.permute(0, 3, 1, 4, 2, 5).reshape(padded.shape)
        return joined[..., :height, :width]

    def surrogate(self, images: Tensor) -> Tensor:
        """The true logits; only the rounding to bits is differentiated as a smooth step."""
        check_images(type(self).__name__, images)
        return self.logits(images)

    def _code(self, images: Tensor) -> Tensor:
        code = self.noisy(self.codec.encode(images))
        smooth = (code / self.codec.sigma).sigmoid()
        bits = (code > 0).to(code) + (smooth - smooth.detach())
        return self.codec.decode(bits)


class NoisyComDefend(ComDefend):
    """ComDefend that keeps the training's noise: its bits are ``u - sigma n > 0``, n normal."""

    is_random: ClassVar[bool] = True
    notes: ClassVar[str] = (
        "Random: each call draws noise that turns the bits of weak code; attacks have to average "
        f"over draws. {ComDefend.notes}"
    )

    def noisy(self, code: Tensor) -> Tensor:
        """Adds a fresh draw to ``u`` ``[B, 12, H, W]``."""
        # float32 whatever the images are: the same seed gives the same noise in either precision
        noise = torch.randn(code.shape, dtype=torch.float32, device=code.device)
        return code - self.codec.sigma * noise.to(code)
