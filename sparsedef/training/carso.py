"""Training of CARSO's purifier: clean images from a classifier's features of attacked ones."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from sparsedef.learning.ranks import ALONE, Ranks
from sparsedef.solvers.checks import check_count
from sparsedef.training.classifier import as_source
from sparsedef.training.descent import Trained
from sparsedef.training.inner import LinfAscent, evaluation_mode
from sparsedef.training.lookahead import Lookahead
from sparsedef.training.loop import n_batches, train
from sparsedef.training.state import digest
from sparsedef.training.step import Batch, Source, Step

Features = Callable[[Tensor], list[Tensor]]
LR_PER_IMAGE = 1e-4  # peak rate, times the images of a minibatch on one rank
FIRST_LR, LAST_LR_PER_IMAGE = 5e-9, 1.25e-8
WARM_UP = FLAT = 1 / 8  # shares of the epochs; then the rate falls to the end
UNRECTIFIED = 5  # first steps of RAdam, along the bare gradient, which is a sum of thousands
WITHOUT_KL, KL_RAMP = 1 / 8, 9 / 200


class Purifier(Protocol):
    """A network as ``models.carso.CARSOPurifier``; it is a module, too."""

    latent: int

    def __call__(
        self, features: Sequence[Tensor], images: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Image logits, and mean and log-variance of z."""


@dataclass(frozen=True)
class AttackMix:
    """Attacks some images of each minibatch: a quarter each by FGSM and PGD, weak and strong.

    The attacks are on the classifier alone, its cross-entropy. Counted over the whole minibatch,
    of all ranks: with the published counts per GPU a fraction of 0.01 attacked no image at all.

    Args:
        radii: Weak and strong, in pixel units of [0, 1]; see ``attack_radii``.
        fraction: Of the images: published 0.5 (CIFAR-10), 0.15 (CIFAR-100), 0.01 (TinyImageNet).
        steps: Of PGD.
        step_size: Of PGD, from a random start.

    Raises:
        ValueError: A number is out of range.
    """

    radii: tuple[float, float]
    fraction: float = 0.5
    steps: int = 40
    step_size: float = 0.01

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if not 0 <= self.fraction <= 1:
            raise ValueError(f"AttackMix: fraction must be from 0 to 1, got {self.fraction}")
        for radius in self.radii:
            LinfAscent(radius, self.steps, self.step_size)

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, step: Step) -> Tensor:
        """Attacks its share of this rank's images ``[B, 3, H, W]``; the others stay."""
        each = int(step.n_rows * self.fraction / 4)
        place = torch.argsort(torch.randperm(step.n_rows, generator=step.generator))[step.rows]
        noise = 2 * step.rand_like(images) - 1
        attacked = images.clone()
        for kind in range(4):
            is_pgd, radius = kind >= 2, self.radii[kind % 2]
            rows = torch.nonzero((place >= kind * each) & (place < (kind + 1) * each))[:, 0]
            rows = rows.to(images.device)
            if len(rows) == 0:
                continue
            some, wanted = images[rows], labels[rows]
            ascent = LinfAscent(
                radius, self.steps if is_pgd else 1, self.step_size if is_pgd else radius
            )
            start = some + radius * noise[rows] if is_pgd else some
            loss = functools.partial(functional.cross_entropy, target=wanted, reduction="sum")
            attacked[rows] = ascent.climb(model, some, start, loss)
        return attacked


def attack_radii(std: Sequence[float], *, nominal: bool = False) -> tuple[float, float]:
    """Radii of the attacks in CARSO's training.

    The paper says 4/255 and 8/255. Its code multiplies both by 3 / sum(std), as for normalised
    images, though these lie in [0, 1]: 16/255 and 32/255 for CIFAR-10. That is the default.

    Args:
        std: Of the training images per channel.
        nominal: The paper's numbers.

    Example:
        >>> [round(255 * each, 1) for each in attack_radii((0.2471, 0.2435, 0.2616))]
        [16.0, 31.9]
    """
    factor = 1.0 if nominal else len(std) / sum(std)
    weak, strong = (min(1.0, each / 255 * factor) for each in (4, 8))
    return weak, strong


def lr_factor(progress: float, batch_size: int, lr: float) -> float:
    """The learning rate as a share of its peak ``lr``: up for 1/8, flat for 1/8, then down.

    Args:
        progress: Share of the training that is done, 0 to 1.
        batch_size: Images of a minibatch on one rank: the last rate is 1.25e-8 times that.
        lr: Peak.
    """
    low, end = FIRST_LR / lr, min(1.0, LAST_LR_PER_IMAGE * batch_size / lr)
    if progress < WARM_UP:
        return low + (1 - low) * progress / WARM_UP
    fall = max(0.0, progress - WARM_UP - FLAT) / (1 - WARM_UP - FLAT)
    return 1 + (end - 1) * min(1.0, fall)


def kl_weight(progress: float) -> float:
    """Beta: 0 for the first eighth of the training, then up to 1 over 4.5% of it."""
    return min(1.0, max(0.0, (progress - WITHOUT_KL) / KL_RAMP))


def carso_loss(
    purifier: Purifier, features: Sequence[Tensor], seen: Tensor, clean: Tensor, step: Step,
    beta: float,
) -> Tensor:  # fmt: skip
    """Gives the loss of rebuilding clean images from attacked ones, the mean over images.

    Per image: ``sum BCE(decode(z, c), x) + beta / 2 sum(mu^2 + exp(v) - v - 1)`` with
    ``z = mu + exp(v / 2) n``, n standard normal, sums over pixels and over the latent.

    Args:
        purifier: The network.
        features: The classifier's, of ``seen``.
        seen: What may be attacked, ``[B, 3, H, W]``.
        clean: The same images, clean.
        step: Draws the noise.
        beta: Weight of the divergence.
    """
    latent = purifier.latent
    noise = step.randn_like(seen.new_empty(len(seen), latent)) if latent else None
    logits, mu, log_variance = purifier(features, seen, noise)
    # in single precision whatever autocast chose: sums of thousands of pixels
    rebuilt = functional.binary_cross_entropy_with_logits(
        logits.float(), clean.float(), reduction="sum"
    )
    mu, log_variance = mu.float(), log_variance.float()
    divergence = (mu.square() + log_variance.exp() - log_variance - 1).sum() / 2
    return (rebuilt + beta * divergence) / len(seen)


def train_carso(
    purifier: nn.Module,
    classifier: nn.Module,
    features: Features,
    images: Tensor | Source,
    labels: Tensor | None = None,
    *,
    mix: AttackMix,
    epochs: int = 200,
    batch_size: int = 64,
    lr: float | None = None,
    autocast: torch.dtype | None = None,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_steps: int | None = None,
    ranks: Ranks = ALONE,
    title: str = "CARSO",
    is_silent: bool = False,
) -> Trained:
    """Trains CARSO's purifier in place, by the published objective and schedule; it resumes.

    Minimises the sum over the minibatch of ``carso_loss`` (a sum, not a mean: the rates are made
    for it) by RAdam inside Lookahead. The classifier is frozen, in evaluation mode. Rate and beta
    change with every minibatch. The losses that come back are sums over minibatches, too.

    Args:
        purifier: ``models.carso.CARSOPurifier``.
        classifier: Attacked by ``mix``; images to logits.
        features: Images to the features that the purifier was made for.
        images: Clean, ``[B, 3, H, W]`` in [0, 1], or a source of images and labels.
        labels: ``[B]`` int64, if ``images`` is a tensor.
        mix: Which images are attacked, and how.
        epochs: Published: 200 (CIFAR) and 250 (TinyImageNet).
        batch_size: Of all ranks together; published 640 or 128 for each of 4 or 8 GPUs.
        lr: Peak of the rate; ``None``: 1e-4 times the images of a minibatch on one rank.
        autocast: ``torch.bfloat16`` or ``torch.float16`` for the networks' passes.
        seed: Of order, attacks and noise; not of the network, which is there already.
        checkpoint: Where a stopped training goes on; see ``train``.
        checkpoint_steps: Write it after so many minibatches as well as after each epoch.
        ranks: Who shares the work.
        title: Stands before the progress bar.
        is_silent: Show no bar.

    Raises:
        TypeError: Labels are missing.
        ValueError: A number is wrong; the checkpoint was begun otherwise.

    Source: Ballarin, Ansuini, Bortolussi, 2023; RAdam: Liu et al., 2020.
    """
    check_count("train_carso", "epochs", epochs)
    check_count("train_carso", "batch_size", batch_size)
    source = as_source(images, labels)
    own_batch = max(1, batch_size // ranks.n_ranks)
    peak = LR_PER_IMAGE * own_batch if lr is None else lr
    n_steps = epochs * n_batches(len(source), batch_size)
    inner = torch.optim.RAdam(purifier.parameters(), peak)

    def factor(number: int) -> float:
        # the published schedule has its first rate for a whole epoch, longer than these steps
        return lr_factor(0 if number < UNRECTIFIED else number / n_steps, own_batch, peak)

    network: Purifier = purifier  # type: ignore[assignment]

    def loss(batch: Batch, step: Step) -> Tensor:
        clean, wanted = batch
        seen = mix(classifier, clean, wanted, step)
        with torch.autocast(clean.device.type, autocast, enabled=autocast is not None):
            with torch.no_grad(), evaluation_mode(classifier):
                found = [each.detach() for each in features(seen)]
            mean = carso_loss(network, found, seen, clean, step, kl_weight(step.number / n_steps))
        return mean * step.n_rows

    return train(
        purifier,
        source,
        loss,
        optimizer=Lookahead(inner),
        schedule=LambdaLR(inner, factor),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        settings={
            "mix": repr(mix),
            "lr": peak,
            "autocast": str(autocast),
            "classifier": digest(classifier.state_dict().values()),
        },
        checkpoint=checkpoint,
        checkpoint_steps=checkpoint_steps,
        ranks=ranks,
        title=title,
        is_silent=is_silent,
    )
