"""``sparsedef train comdefend``: the networks of a defense that rebuilds images from bits."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from typing import Any

from sparsedef.commands.running import whole_number
from sparsedef.commands.train_options import TrainJob, add_shared_arguments
from sparsedef.data import Dataset
from sparsedef.models.comdefend import ComDefendCodec
from sparsedef.models.seeded import seeded
from sparsedef.streams.ranks import Processes
from sparsedef.training import Tensors
from sparsedef.training.comdefend import reconstruction_error, train_comdefend


class ComDefendTraining:
    """Trains the codec of ``defenses.ComDefend``."""

    about = "ComDefend's networks, which compress images to bits and rebuild them"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds the options."""
        add_shared_arguments(parser, epochs=20, batch_size=16)
        parser.add_argument(
            "--width", type=whole_number, default=4,
            help="channels of the first layer; 16 as published (default: %(default)s)",
        )  # fmt: skip
        parser.add_argument(
            "--sigma", type=float, default=20.0,
            help="of the noise that the code must outgrow (default: %(default)s)",
        )  # fmt: skip
        parser.add_argument(
            "--crop", type=whole_number, default=16, metavar="PIXELS",
            help="train on random squares of this side (default: %(default)s)",
        )  # fmt: skip
        parser.add_argument("--lr", type=float, default=3e-3, help="(default: %(default)s)")

    def run(self, arguments: argparse.Namespace, ranks: Processes) -> str:
        """Trains on all ranks, or goes on; returns what to say in the end."""
        names = ("width", "sigma", "crop", "lr")
        options = {name: getattr(arguments, name) for name in names}
        job = TrainJob.open(arguments, ranks, objective="comdefend", **options)
        about = job.finished()
        if about is None:
            settings = {"width": arguments.width, "sigma": arguments.sigma}
            with seeded(arguments.seed):
                codec = ranks.attempt(lambda: ComDefendCodec(**settings))
            codec.to(job.device)
            validation = Tensors(job.dataset.validation.images)
            trained = train_comdefend(
                codec, job.dataset.train.images, epochs=arguments.epochs,
                batch_size=arguments.batch_size, seed=arguments.seed, lr=arguments.lr,
                crop=arguments.crop, validation=validation, checkpoint=job.checkpoint,
                checkpoint_steps=arguments.checkpoint_steps, ranks=ranks,
                is_silent=arguments.quiet,
            )  # fmt: skip
            figures = {
                "mean_squared_error": reconstruction_error(codec, validation),
                "variance": float(job.dataset.validation.images.double().var()),
            }
            told = {"figures": figures, "n_validation": len(validation), **asdict(trained)}
            about = job.write("comdefend", settings, codec, told)
        return _summary(job, about)


def _summary(job: TrainJob[Dataset], about: dict[str, Any]) -> str:
    error, variance = (about["figures"][k] for k in ("mean_squared_error", "variance"))
    poor = (
        "\nThat is no better than a grey image: the code died, which a lower --lr or another "
        "--seed may avoid."
        if error >= variance
        else ""
    )
    return (
        f"mean squared error {error:.3g} ({-10 * math.log10(max(error, 1e-12)):.1f} dB) of "
        f"{about['n_validation']} validation images rebuilt from bits; their variance is "
        f"{variance:.3g}{poor}\n{job.out} has the networks, settings and losses"
    )
