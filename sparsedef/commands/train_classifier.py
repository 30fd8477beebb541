"""``sparsedef train standard``, ``at``, ``fgsm-at``, ``pgd-at``, ``trades``: classifiers."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sparsedef.attacks import PGD
from sparsedef.commands.train_options import TrainJob, add_shared_arguments, radius
from sparsedef.data import Dataset
from sparsedef.defenses import DEFENSES, Purifier
from sparsedef.models.checkpoint import MODELS, load_classifier
from sparsedef.models.seeded import seeded
from sparsedef.streams.ranks import Processes
from sparsedef.training import RECIPES, Tensors, accuracy, train_classifier
from sparsedef.training.state import digest

PGD_STEPS = 20


@dataclass(frozen=True)
class ClassifierTraining:
    """Trains a classifier for one objective.

    Args:
        objective: In ``training.OBJECTIVES``.
        about: What it trains, for the help.
    """

    objective: str
    about: str

    @property
    def is_adversarial(self) -> bool:
        """Whether it trains on attacked images."""
        return self.objective != "standard"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds the options."""
        add_shared_arguments(parser, epochs=30 if self.is_adversarial else 20, batch_size=64)
        parser.add_argument(
            "--model", default="small_cnn", metavar="SPEC",
            help=f"{' or '.join(MODELS)} (default: %(default)s)",
        )  # fmt: skip
        parser.add_argument(
            "--start", type=Path, metavar="FILE.pt",
            help="begin at the weights of such a network that was trained before (adversarial "
            "training of a random one may end at one answer for all images)",
        )  # fmt: skip
        if self.is_adversarial:
            parser.add_argument(
                "--eps", type=radius, default=8 / 255, help="linf radius (default: 8/255)"
            )
        parser.add_argument(
            "--purified-by", choices=[n for n, d in DEFENSES.items() if issubclass(d, Purifier)],
            metavar="DEFENSE",
            help="train on images that this defense, fitted to them, has purified",
        )  # fmt: skip
        parser.add_argument(
            "--shift", type=int, default=2, metavar="PIXELS",
            help="move images at random by at most so much (default: %(default)s)",
        )  # fmt: skip
        parser.add_argument("--flip", action="store_true", help="mirror images at random")
        parser.add_argument(
            "--recipe", choices=list(RECIPES), default="adamw", help="(default: %(default)s)"
        )
        parser.add_argument("--lr", type=float, help="peak of the rate (default: the recipe's)")

    def run(self, arguments: argparse.Namespace, ranks: Processes) -> str:
        """Trains on all ranks, or goes on; returns what to say in the end."""
        eps = arguments.eps if self.is_adversarial else None
        names = ("model", "purified_by", "shift", "flip", "recipe", "lr")
        options = {name: getattr(arguments, name) for name in names}
        if arguments.start is not None:
            options["start"] = ranks.attempt(lambda: _digest(arguments.start))
        job = TrainJob.open(arguments, ranks, objective=self.objective, eps=eps, **options)
        about = job.finished()
        if about is None:
            size = job.plan["size"][-1]
            settings = {"n_classes": len(job.dataset.classes), "size": size}
            model = ranks.attempt(
                lambda: _build(arguments.model, settings, arguments.seed, arguments.start)
            )
            model.to(job.device)
            train, validation = _images(job, arguments.purified_by, is_silent=arguments.quiet)
            trained = train_classifier(
                model, train, objective=self.objective, eps=eps or 0.0,
                epochs=arguments.epochs, batch_size=arguments.batch_size, seed=arguments.seed,
                shift=arguments.shift, flip=arguments.flip, recipe=arguments.recipe,
                lr=arguments.lr, validation=validation, checkpoint=job.checkpoint,
                checkpoint_steps=arguments.checkpoint_steps, ranks=ranks,
                is_silent=arguments.quiet,
            )  # fmt: skip
            told = {
                "classes": list(job.dataset.classes),
                "figures": self._measure(model, validation, eps, arguments.seed),
                "n_validation": len(validation),
                **asdict(trained),
            }
            about = job.write(arguments.model, settings, model, told)
        return self._summary(job, about)

    def _measure(
        self, model: nn.Module, data: Tensors, eps: float | None, seed: int
    ) -> dict[str, float]:
        """Accuracies on the validation images, those of training purified as they were."""
        figures = {"clean": accuracy(model, data)}
        if eps is not None:
            device = next(model.parameters()).device
            attack = PGD(eps, steps=PGD_STEPS, seed=seed)
            n_right = 0
            for rows in torch.arange(len(data)).split(200):
                images, labels = (tensor.to(device) for tensor in data.batch(rows))
                n_right += int((~attack(model, images, labels).success).sum())
            figures[f"pgd_{PGD_STEPS}"] = n_right / len(data)
        return figures

    def _summary(self, job: TrainJob[Dataset], about: dict[str, Any]) -> str:
        figures, plan = about["figures"], job.plan
        words = [f"{figures['clean']:.1%} clean"]
        if plan["eps"] is not None:
            words.append(
                f"{figures[f'pgd_{PGD_STEPS}']:.1%} under PGD-{PGD_STEPS} with eps"
                f" {255 * plan['eps']:.4g}/255"
            )
        purified = f" purified by {plan['purified_by']}" if plan["purified_by"] else ""
        return (
            f"{' and '.join(words)}, of {about['n_validation']} validation images{purified}"
            " (by which the epoch was chosen, so somewhat flattering)\n"
            f"{job.out} has the weights, settings and losses"
        )


def _build(name: str, settings: dict[str, Any], seed: int, start: Path | None) -> nn.Module:
    if name not in MODELS:
        raise ValueError(f"--model must be one of {', '.join(MODELS)}, got {name}")
    if start is None:
        with seeded(seed):
            return MODELS[name](**settings)
    saved = load_classifier(start)
    if (saved.name, saved.settings) != (name, settings):
        raise ValueError(
            f"--start must hold {name} with {settings}, got {saved.name} with {saved.settings}"
        )
    return saved.model.train()


def _digest(start: Path) -> str:
    """Of the weights that a training begins at."""
    return digest(load_classifier(start).model.state_dict().values())


def _images(
    job: TrainJob[Dataset], purified_by: str | None, *, is_silent: bool
) -> tuple[Tensors, Tensors]:
    """Training and validation data, maybe purified by a defense fitted to the training images."""
    train, validation = job.dataset.train, job.dataset.validation
    if purified_by is None:
        parts = {"train": train.images, "validation": validation.images}
    else:
        name = purified_by
        parts = job.once(lambda: _purify(job, name, is_silent=is_silent or job.ranks.rank > 0))
    return Tensors(parts["train"], train.labels), Tensors(parts["validation"], validation.labels)


def _purify(job: TrainJob[Dataset], name: str, *, is_silent: bool) -> dict[str, Tensor]:
    from tqdm import tqdm

    train, seed = job.dataset.train, job.plan["seed"]
    defense = DEFENSES[name].fit(nn.Identity(), train.images, train.labels, seed=seed).eval()
    assert isinstance(defense, Purifier)
    defense.to(job.device)
    parts = {}
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for part in ("train", "validation"):
            batches = getattr(job.dataset, part).images.split(64)
            shown = tqdm(batches, f"{part} images by {name}", disable=is_silent)
            parts[part] = torch.cat([defense.purify(some.to(job.device)).cpu() for some in shown])
    return parts
