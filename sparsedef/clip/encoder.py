"""Images and texts in one space: any CLIP of open_clip, taking images in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of the images that CLIP was trained on
STD = (0.26862954, 0.26130258, 0.27577711)

Tokenize = Callable[[list[str]], Tensor]


class ClipEncoder(nn.Module):
    """Embeds images ``[B, 3, H, W]`` in [0, 1] and texts side by side.

    Images are brought to the model's size (short side, bicubic with antialiasing, then the middle)
    and normalised inside, so that attacks act on pixels. Differentiable from end to end.

    Args:
        model: A CLIP of open_clip, or anything with its ``encode_image`` and ``encode_text``.
        tokenize: Texts to token ids ``[n, L]``.
        size: Side of the images that ``model`` takes.
        name: What it is, for reports.
        mean: Of the pixels that the model was trained on, per channel.
        std: Their standard deviation, per channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        tokenize: Tokenize,
        *,
        size: int,
        name: str,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
    ) -> None:
        """Keeps the parts; see the class."""
        super().__init__()
        self.model = model
        self.tokenize = tokenize
        self.size = size
        self.name = name
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def image(self, images: Tensor) -> Tensor:
        """Embeds images ``[B, 3, H, W]`` in [0, 1]: ``[B, M]``, not normalised."""
        model: Any = self.model
        pixels = (fit_size(images, self.size) - self.mean) / self.std
        found: Tensor = model.encode_image(pixels)
        return found

    def text(self, texts: Sequence[str], *, batch_size: int = 256) -> Tensor:
        """Embeds texts: ``[n, M]``, not normalised."""
        model: Any = self.model
        tokens = self.tokenize(list(texts)).to(self.mean.device)
        return torch.cat([model.encode_text(some) for some in tokens.split(batch_size)])

    def forward(self, images: Tensor) -> Tensor:
        """Embeds images, as ``image``."""
        return self.image(images)

    @property
    def scale(self) -> Tensor:
        """Factor from cosines to logits that the model was trained with."""
        model: Any = self.model
        found: Tensor = model.logit_scale.exp()
        return found


def fit_size(images: Tensor, size: int) -> Tensor:
    """Brings the short side to ``size`` (bicubic, antialiased), and cuts the middle out."""
    height, width = images.shape[-2:]
    if min(height, width) != size:
        scale = size / min(height, width)
        images = functional.interpolate(
            images, size=(round(height * scale), round(width * scale)),
            mode="bicubic", antialias=True,
        ).clamp(0, 1)  # fmt: skip
        height, width = images.shape[-2:]
    top, left = (height - size) // 2, (width - size) // 2
    return images[..., top : top + size, left : left + size]


def unit(vectors: Tensor) -> Tensor:
    """Scales rows to norm 1."""
    return functional.normalize(vectors, dim=-1)
