"""Training of classifiers, plain or adversarial, with the recipes of the field."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from sparsedef.learning.ranks import ALONE, Ranks
from sparsedef.solvers.checks import check_choice, check_count
from sparsedef.training import augment
from sparsedef.training.descent import Trained
from sparsedef.training.inner import Perturb, evaluation_mode
from sparsedef.training.loop import n_batches, train
from sparsedef.training.objectives import OBJECTIVES, Objective
from sparsedef.training.state import sample_digest
from sparsedef.training.step import Batch, Source, Step, Tensors, device_of


@dataclass(frozen=True)
class Recipe:
    """An optimiser with its usual settings, under a one-cycle schedule.

    Args:
        make: Parameters, peak learning rate and weight decay to an optimiser.
        lr: Peak of the learning rate.
        weight_decay: Per step, times the learning rate.
    """

    make: Callable[..., torch.optim.Optimizer]
    lr: float
    weight_decay: float


def _sgd(parameters: object, lr: float, weight_decay: float) -> torch.optim.SGD:
    return torch.optim.SGD(parameters, lr, momentum=0.9, weight_decay=weight_decay)  # type: ignore


RECIPES: Mapping[str, Recipe] = {
    "adamw": Recipe(torch.optim.AdamW, 4e-3, 1e-2),
    "sgd": Recipe(_sgd, 0.1, 5e-4),
}


def train_classifier(
    model: nn.Module,
    images: Tensor | Source,
    labels: Tensor | None = None,
    *,
    objective: str | Objective = "standard",
    eps: float = 8 / 255,
    epochs: int = 20,
    batch_size: int = 64,
    seed: int = 0,
    shift: int = 2,
    flip: bool = False,
    recipe: str = "adamw",
    lr: float | None = None,
    weight_decay: float | None = None,
    validation: Source | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_steps: int | None = None,
    ranks: Ranks = ALONE,
    is_silent: bool = False,
) -> Trained:
    """Trains a classifier in place, on clean images or on attacked ones; it resumes.

    The learning rate rises and falls once (one cycle). All else is as in ``train``: the same
    bits from the same call, stopped or not, and several ranks for one piece of work.

    Args:
        model: Images ``[B, C, H, W]`` in [0, 1] to logits ``[B, classes]``; its weights now are
            where the training begins.
        images: ``[B, C, H, W]`` in [0, 1], or a source of images and labels.
        labels: ``[B]`` int64, if ``images`` is a tensor.
        objective: A name in ``OBJECTIVES``, made with ``eps``; or an objective, whose ``repr``
            must tell its settings.
        eps: Radius of the inner attack, in pixel units of [0, 1].
        epochs: How often each image is seen.
        batch_size: Of all ranks together.
        seed: Of order, augmentation and inner attacks; not of the model, which is there already.
        shift: Moves each image by up to so many pixels at random.
        flip: Mirrors images at random.
        recipe: ``"adamw"`` (peak rate 4e-3, weight decay 1e-2) or ``"sgd"`` (momentum 0.9, 0.1,
            5e-4).
        lr: Peak of the learning rate; ``None``: the recipe's.
        weight_decay: ``None``: the recipe's.
        validation: Images and labels by which the best epoch is chosen: by accuracy, under the
            objective's own attack if it has one. ``None``: the last epoch's weights stay.
        checkpoint: Where a stopped training goes on; see ``train``.
        checkpoint_steps: Write it after so many minibatches as well as after each epoch.
        ranks: Who shares the work.
        is_silent: Show no bar.

    Returns:
        ``Trained``: losses and validation accuracies of the epochs.

    Raises:
        TypeError: Labels are missing.
        ValueError: A word or a number is wrong; the checkpoint was begun otherwise.

    Source: one cycle, Smith, Topin, 2019; the objectives name theirs.
    """
    source = as_source(images, labels)
    if isinstance(objective, str):
        check_choice("train_classifier", "objective", objective, tuple(OBJECTIVES))
        objective = OBJECTIVES[objective](eps)
    check_choice("train_classifier", "recipe", recipe, tuple(RECIPES))
    check_count("train_classifier", "epochs", epochs)
    check_count("train_classifier", "batch_size", batch_size)
    check_count("train_classifier", "shift", shift, least=0)
    chosen = RECIPES[recipe]
    lr = chosen.lr if lr is None else lr
    weight_decay = chosen.weight_decay if weight_decay is None else weight_decay
    optimizer = chosen.make(model.parameters(), lr=lr, weight_decay=weight_decay)
    n_steps = epochs * n_batches(len(source), batch_size)
    measured = objective

    def loss(batch: Batch, step: Step) -> Tensor:
        pictures, classes = batch
        pictures = augment.shift(pictures, step, shift)
        pictures = augment.flip(pictures, step) if flip else pictures
        return measured(model, pictures, classes, step)

    def validate() -> float:
        assert validation is not None
        return accuracy(model, validation, perturb=measured.perturb, seed=seed)

    return train(
        model,
        source,
        loss,
        optimizer=optimizer,
        schedule=OneCycleLR(optimizer, max_lr=lr, total_steps=n_steps),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        validate=None if validation is None else validate,
        settings={
            "objective": repr(objective),
            "recipe": recipe,
            "lr": lr,
            "weight_decay": weight_decay,
            "shift": shift,
            "flip": flip,
            "validation": None if validation is None else sample_digest(validation),
        },
        checkpoint=checkpoint,
        checkpoint_steps=checkpoint_steps,
        ranks=ranks,
        is_silent=is_silent,
    )


def as_source(images: Tensor | Source, labels: Tensor | None) -> Source:
    """Makes a source of images and labels, or takes one as it is."""
    if isinstance(images, Tensor):
        if not isinstance(labels, Tensor):
            raise TypeError(f"labels must be a torch.Tensor, got {type(labels).__name__}")
        return Tensors(images, labels)
    if labels is not None:
        raise TypeError("labels must be None when images is a source, which gives them itself")
    return images


def accuracy(
    model: nn.Module,
    source: Source,
    *,
    perturb: Perturb | None = None,
    seed: int = 0,
    batch_size: int = 256,
) -> float:
    """Measures the share of images that a model classifies rightly, in evaluation mode.

    Args:
        model: Images to logits.
        source: Images and labels.
        perturb: Attacks the images first.
        seed: Of the attack.
        batch_size: Images at a time.

    Returns:
        From 0 to 1. Logits that are NaN count as wrong.
    """
    device, right = device_of(model), 0
    with evaluation_mode(model):
        for number, rows in enumerate(torch.arange(len(source)).split(batch_size)):
            images, labels = (tensor.to(device) for tensor in source.batch(rows))
            if perturb is not None:
                step = Step.single(len(rows), seed, number)
                images = perturb(model, images, labels, step)
            with torch.no_grad():
                logits = model(images)
            is_right = (logits.argmax(1) == labels) & logits.isfinite().all(1)
            right += int(is_right.sum())
    return right / len(source)
