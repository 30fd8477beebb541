"""``sparsedef train clip``: the small CLIP that is shipped, on scenes of ShapeWorld."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from sparsedef.streams.ranks import Processes
from sparsedef.version import __version__
from sparsedef.worlds import Scenes, draw_split


class ClipTraining:
    """Trains the small CLIP and measures it on scenes that it has not seen."""

    about = "the small CLIP of ShapeWorld"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds its options to ``parser``."""
        parser.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors")
        parser.add_argument("--scenes", type=int, default=60_000, help="(default: %(default)s)")
        parser.add_argument("--epochs", type=int, default=9, help="(default: %(default)s)")
        parser.add_argument("--batch-size", type=int, default=128, help="(default: %(default)s)")
        parser.add_argument("--lr", type=float, default=3e-3, help="(default: %(default)s)")
        parser.add_argument(
            "--captions", choices=("full", "relevant"), default="full",
            help="whether captions also name colour, weather and background (default: full)",
        )  # fmt: skip
        parser.add_argument("--seed", type=int, default=0, help="of everything (default: 0)")
        parser.add_argument("--threads", type=int, help="of torch (default: torch's choice)")
        parser.add_argument("--quiet", action="store_true", help="no progress, no summary")

    def run(self, arguments: argparse.Namespace, ranks: Processes) -> str:
        """Trains, measures and writes; only rank 0 works, contrasts need a whole minibatch."""
        from sparsedef.clip.small import save_small_clip
        from sparsedef.clip.train import train_small_clip, zero_shot_accuracy

        if ranks.n_ranks > 1:
            raise ValueError("one process only: a contrast needs the whole minibatch")
        options = {
            "n_scenes": arguments.scenes, "epochs": arguments.epochs,
            "batch_size": arguments.batch_size, "lr": arguments.lr,
            "mode": arguments.captions, "seed": arguments.seed,
        }  # fmt: skip
        checkpoint = arguments.out.with_name(arguments.out.name + ".checkpoint")
        encoder = train_small_clip(**options, checkpoint=checkpoint, is_silent=arguments.quiet)
        figures = {}
        for part in ("validation", "test"):
            scenes = draw_split(part, 2000, seed=arguments.seed)
            figures[part] = zero_shot_accuracy(encoder, drawn(scenes), scenes.classes)
        facts = {
            "command": f"sparsedef train clip --scenes {arguments.scenes} --epochs "
            f"{arguments.epochs} --batch-size {arguments.batch_size} --lr {arguments.lr:g} "
            f"--captions {arguments.captions} --seed {arguments.seed}",
            "options": options,
            "zero_shot_accuracy_of_2000": figures,
            "versions": {"sparsedef": __version__, "torch": torch.__version__},
        }
        save_small_clip(encoder, arguments.out, facts)
        checkpoint.unlink(missing_ok=True)
        told = ", ".join(f"{100 * share:.1f}% of {part}" for part, share in figures.items())
        return f"{arguments.out}: zero-shot right on {told} images"


def drawn(scenes: Scenes, at_once: int = 256) -> Tensor:
    """Draws scenes ``[B, 3, 48, 48]``, some at a time."""
    rows = torch.arange(len(scenes)).split(at_once)
    return torch.cat([scenes[some].render(size=48) for some in rows])
