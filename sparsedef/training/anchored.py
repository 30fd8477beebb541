"""Adversarial training towards fixed anchors: LAAT's losses and its schedule."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from sparsedef.learning.ranks import ALONE, Ranks
from sparsedef.solvers.checks import check_choice, check_count
from sparsedef.training.classifier import RECIPES
from sparsedef.training.descent import Trained
from sparsedef.training.inner import Perturb
from sparsedef.training.loop import n_batches, train
from sparsedef.training.step import Batch, Source, Step
from sparsedef.training.weight_attack import perturbed_weights

# cosines over the temperature [B, C], their temperature, labels [B], to a scalar
Alignment = Callable[[Tensor, float, Tensor], Tensor]


class Anchored(Protocol):
    """A classifier by anchors, such as ``sparsedef.defenses.laat.LAAT``; also an ``nn.Module``."""

    temperature: float

    def embed(self, images: Tensor) -> Tensor:
        """Features ``[B, M]`` of images."""

    def classify(self, features: Tensor) -> Tensor:
        """Logits ``[B, C]`` of features: cosines with anchors over ``temperature``."""


def cross_entropy(logits: Tensor, temperature: float, labels: Tensor) -> Tensor:
    """A-CE: cross-entropy of ``cos / temperature``.

    At temperature 1 the logits lie in [-1, 1], so the loss never saturates: it keeps pulling the
    feature towards its anchor, and away from the others.
    """
    return functional.cross_entropy(logits, labels)


def cosine(logits: Tensor, temperature: float, labels: Tensor) -> Tensor:
    """Minus the mean cosine with the own anchor: pulls, and never pushes."""
    return -_own(logits, temperature, labels).mean()


def angle(logits: Tensor, temperature: float, labels: Tensor) -> Tensor:
    """Mean angle to the own anchor, in radians."""
    own = _own(logits, temperature, labels)
    return own.clamp(-1 + 1e-6, 1 - 1e-6).acos().mean()


def _own(logits: Tensor, temperature: float, labels: Tensor) -> Tensor:
    return temperature * logits.gather(1, labels[:, None])[:, 0]


ALIGNMENTS: Mapping[str, Alignment] = {"ce": cross_entropy, "cos": cosine, "angle": angle}


@dataclass(frozen=True)
class AnchorObjective:
    """LAAT's loss: align attacked images with their anchor, and with their clean selves.

    Minimises ``A(x') + smoothness * S`` with ``x' = perturb(model, x, y)``,
    ``A = CE(cos(f(x'), anchors) / temperature, y)`` and ``S = -mean cos(f(x), f(x'))``; both sides
    of S are differentiated. Without ``perturb`` it is plain training towards anchors, and S is
    left out, because it would be constant.

    Args:
        perturb: The inner maximisation, of the cross-entropy of the logits.
        smoothness: Weight of S, ``beta`` in the paper.
        alignment: ``"ce"`` (A-CE), or ``"cos"`` or ``"angle"`` in its place.
        weight_radius: Radius of an adversarial weight perturbation, 0 for none. Several ranks
            each take the direction of their own part of the minibatch.

    Raises:
        ValueError: A word is unknown, or a number negative.

    Source: LAAT, Li, Zhang, Hu, CVPR 2024, as in its published code.
    """

    perturb: Perturb | None = None
    smoothness: float = 1.0
    alignment: str = "ce"
    weight_radius: float = 0.0

    def __post_init__(self) -> None:
        """Checks the settings."""
        check_choice("AnchorObjective", "alignment", self.alignment, tuple(ALIGNMENTS))
        for name in ("smoothness", "weight_radius"):
            if not getattr(self, name) >= 0:
                raise ValueError(
                    f"AnchorObjective: {name} must be at least 0, got {getattr(self, name)}"
                )

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, step: Step) -> Tensor:
        """Gives the mean loss of images ``[B, 3, H, W]`` with labels ``[B]``."""
        attacked = images
        if self.perturb is not None:
            attacked = self.perturb(model, images, labels, step)
        encoder = _Embedding(model)
        if self.weight_radius == 0:
            return self._loss(model, encoder, images, attacked, labels)

        def loss(weights: dict[str, Tensor]) -> Tensor:
            def embed(seen: Tensor) -> Tensor:
                found: Tensor = functional_call(encoder, weights, (seen,))
                return found

            return self._loss(model, embed, images, attacked, labels)

        with _statistics_kept(model):
            weights = perturbed_weights(encoder, loss, self.weight_radius)
        return loss(weights)

    def _loss(
        self,
        model: Any,
        embed: Callable[[Tensor], Tensor],
        images: Tensor,
        attacked: Tensor,
        labels: Tensor,
    ) -> Tensor:
        features = embed(attacked)
        align = ALIGNMENTS[self.alignment]
        loss = align(model.classify(features), model.temperature, labels)
        if self.smoothness == 0 or self.perturb is None:
            return loss
        near = functional.cosine_similarity(embed(images), features, dim=1)
        return loss - self.smoothness * near.mean()


class _Embedding(nn.Module):
    """A classifier as a module that embeds, because weights are exchanged for a ``forward``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        model: Any = self.model
        found: Tensor = model.embed(images)
        return found


@contextmanager
def _statistics_kept(model: nn.Module) -> Iterator[None]:
    """Takes back what a look in training mode adds to running statistics."""
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    yield
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(kept[name])


def train_anchored(
    model: nn.Module,
    source: Source,
    objective: Callable[[nn.Module, Tensor, Tensor, Step], Tensor],
    *,
    epochs: int = 100,
    batch_size: int = 128,
    lr: float = 0.05,
    weight_decay: float = 5e-4,
    recipe: str = "sgd",
    drop_at: float = 0.6,
    augment: Callable[[Tensor, Step], Tensor] | None = None,
    validate: Callable[[], float] | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_steps: int | None = None,
    ranks: Ranks = ALONE,
    title: str = "training",
    is_silent: bool = False,
) -> Trained:
    """Trains in place by the published schedule: SGD with momentum, the rate divided by 10 once.

    All else is as in ``sparsedef.training.train``: the same bits from the same call, stopped or
    not. (The published code writes a second drop at 80% that it never reaches.)

    Args:
        model: A classifier by anchors, or any that ``objective`` takes.
        source: Images and labels.
        objective: ``AnchorObjective``, or another of ``sparsedef.training``.
        epochs: How often each image is seen.
        batch_size: Of all ranks together.
        lr: Learning rate.
        weight_decay: Per step, times the rate.
        recipe: ``"sgd"``, with momentum 0.9 as published, or ``"adamw"``, which minds the scale of
            the loss less.
        drop_at: Share of the epochs after which the rate is a tenth.
        augment: Changes training images first; its ``repr`` must tell its settings.
        validate: Scores the model after each epoch; the best epoch's weights stay. Never on
            test classes, which the published code does.
        seed: Of everything random but the model's start.
        settings: What the result depends on besides, as plain values.
        checkpoint: Where a stopped training goes on.
        checkpoint_steps: Write it after so many minibatches as well.
        ranks: Who shares the work.
        title: Stands before the progress bar.
        is_silent: Show no bar.

    Returns:
        ``Trained``: losses and scores of the epochs.
    """
    check_count("train_anchored", "epochs", epochs)
    check_count("train_anchored", "batch_size", batch_size)
    check_choice("train_anchored", "recipe", recipe, tuple(RECIPES))
    optimizer = RECIPES[recipe].make(
        [p for p in model.parameters() if p.requires_grad], lr=lr, weight_decay=weight_decay
    )
    drop = round(drop_at * epochs) * n_batches(len(source), batch_size)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [drop], gamma=0.1)

    def loss(batch: Batch, step: Step) -> Tensor:
        images, labels = batch[:2]
        if augment is not None:
            images = augment(images, step)
        return objective(model, images, labels, step)

    own = {
        "objective": repr(objective), "recipe": recipe, "lr": lr,
        "weight_decay": weight_decay, "drop_at": drop_at,
        "augment": None if augment is None else repr(augment),
    }  # fmt: skip
    return train(
        model, source, loss, optimizer=optimizer, schedule=schedule, epochs=epochs,
        batch_size=batch_size, seed=seed, validate=validate, settings={**(settings or {}), **own},
        checkpoint=checkpoint, checkpoint_steps=checkpoint_steps, ranks=ranks, title=title,
        is_silent=is_silent,
    )  # fmt: skip
