"""Training of ComDefend: a code that survives noise, and an image rebuilt from it."""

from __future__ import annotations

import os
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from sparsedef.learning.ranks import ALONE, Ranks
from sparsedef.solvers.checks import check_count
from sparsedef.training.descent import Trained
from sparsedef.training.inner import evaluation_mode
from sparsedef.training.loop import n_batches, train
from sparsedef.training.state import sample_digest
from sparsedef.training.step import Batch, Source, Step, Tensors, device_of


class Codec(Protocol):
    """Two networks, as ``models.ComDefendCodec`` has them; it is a module, too."""

    sigma: float

    def encode(self, images: Tensor) -> Tensor:
        """Images ``[B, 3, H, W]`` to the code before rounding, ``[B, K, H, W]``."""

    def decode(self, code: Tensor) -> Tensor:
        """A code in [0, 1] to images in [0, 1]."""


def comdefend_loss(codec: Codec, images: Tensor, step: Step, *, penalty: float = 1e-4) -> Tensor:
    """Gives the loss of rebuilding images from a noisy code.

    ``mean (decode(c) - x)^2 + penalty * mean c^2`` with ``c = sigmoid(encode(x) - sigma n)`` and
    n standard normal. Noise so large makes the code outgrow it: it becomes all but binary.

    Args:
        codec: The networks.
        images: ``[B, 3, H, W]`` in [0, 1].
        step: Draws the noise.
        penalty: On the code, so that little of it is 1.
    """
    code = codec.encode(images)
    code = (code - codec.sigma * step.randn_like(code)).sigmoid()
    return (codec.decode(code) - images).square().mean() + penalty * code.square().mean()


@torch.no_grad()
def reconstruction_error(codec: nn.Module, source: Source, *, batch_size: int = 64) -> float:
    """Measures the mean squared error of images rebuilt from their bits, in evaluation mode.

    Args:
        codec: Images to rebuilt images.
        source: Images, and maybe more that is not looked at.
        batch_size: Images at a time.
    """
    device, total, count = device_of(codec), 0.0, 0
    with evaluation_mode(codec):
        for rows in torch.arange(len(source)).split(batch_size):
            images = source.batch(rows)[0].to(device)
            total += float((codec(images) - images).square().sum(dtype=torch.float64))
            count += images.numel()
    return total / count


def train_comdefend(
    codec: nn.Module,
    images: Tensor | Source,
    *,
    epochs: int = 4,
    batch_size: int = 4,
    seed: int = 0,
    lr: float = 2e-3,
    crop: int | None = 32,
    penalty: float = 1e-4,
    validation: Source | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_steps: int | None = None,
    ranks: Ranks = ALONE,
    is_silent: bool = False,
) -> Trained:
    """Trains ComDefend's networks in place; it resumes as ``train`` does.

    Minimises ``comdefend_loss`` by Adam (betas 0.5 and 0.999), the rate rising and falling once,
    gradients clipped to norm 0.1: with so much noise some minibatches' are far too large, and a
    code once dead stays so. Many small minibatches serve better than few large ones. The published
    training has a constant rate, no clipping, and 50,000 images of 32 pixels; cycle and clipping
    are for far fewer of them.

    Args:
        codec: ``models.ComDefendCodec``.
        images: ``[B, 3, H, W]`` in [0, 1], or a source of them (what else it gives is not used).
        epochs: How often each image is seen.
        batch_size: Of all ranks together.
        seed: Of order, crops and noise; not of the networks, which are there already.
        lr: Peak of the learning rate.
        crop: Trains on a random square of this side of each minibatch, where images are larger;
            ``None``: on whole images. Far smaller ones teach little: borders reach 18 pixels in.
        penalty: See ``comdefend_loss``.
        validation: Images by which the best epoch is chosen: least error of what is rebuilt from
            bits. ``None``: the last epoch's weights stay.
        checkpoint: Where a stopped training goes on; see ``train``.
        checkpoint_steps: Write it after so many minibatches as well as after each epoch.
        ranks: Who shares the work.
        is_silent: Show no bar.

    Returns:
        ``Trained``: losses, and the negative mean squared errors on ``validation``.

    Raises:
        ValueError: A number is wrong; the checkpoint was begun otherwise.

    Source: Jia, Wei, Cao, Foroosh, 2019.
    """
    source = Tensors(images) if isinstance(images, Tensor) else images
    check_count("train_comdefend", "epochs", epochs)
    check_count("train_comdefend", "batch_size", batch_size)
    if crop is not None:
        check_count("train_comdefend", "crop", crop)
    optimizer = torch.optim.Adam(codec.parameters(), lr, betas=(0.5, 0.999))
    n_steps = epochs * n_batches(len(source), batch_size)
    networks: Codec = codec  # type: ignore[assignment]

    def loss(batch: Batch, step: Step) -> Tensor:
        pictures = batch[0] if crop is None else _crop(batch[0], step, crop)
        return comdefend_loss(networks, pictures, step, penalty=penalty)

    def validate() -> float:
        assert validation is not None
        return -reconstruction_error(codec, validation)

    return train(
        codec,
        source,
        loss,
        optimizer=optimizer,
        schedule=OneCycleLR(optimizer, max_lr=lr, total_steps=n_steps, cycle_momentum=False),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        max_norm=0.1,
        validate=None if validation is None else validate,
        settings={
            "sigma": networks.sigma,
            "lr": lr,
            "crop": crop,
            "penalty": penalty,
            "validation": None if validation is None else sample_digest(validation),
        },
        checkpoint=checkpoint,
        checkpoint_steps=checkpoint_steps,
        ranks=ranks,
        is_silent=is_silent,
    )


def _crop(images: Tensor, step: Step, side: int) -> Tensor:
    """Cuts one random square out of all images of a minibatch, at most as large as they are."""
    height, width = (min(side, each) for each in images.shape[-2:])
    top, left = (
        int(torch.randint(each - cut + 1, (), generator=step.generator))
        for each, cut in zip(images.shape[-2:], (height, width), strict=True)
    )
    return images[..., top : top + height, left : left + width]
