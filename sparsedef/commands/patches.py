"""``sparsedef patches``: the training patches of a data set, as a file for ``sparsedef learn``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from sparsedef.commands.patch_job import PatchJob
from sparsedef.commands.running import whole_number
from sparsedef.data import DATASETS, load_dataset
from sparsedef.defenses import STAGES, RegionSparseSizes
from sparsedef.defenses.patch_dictionary import BATCH, PATCHES
from sparsedef.defenses.regionsparse_stages import usual_n_atoms
from sparsedef.streams.plan import read_json

CHOICES = ("IS", "PN")  # stages that the patches depend on


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``sparsedef patches`` to ``parser``."""
    parser.description = (
        "Smooths the first training images of a data set, draws patches from each, standardises "
        "them, and writes them in random order to FILE, a matrix [B, M] for sparsedef learn. A "
        "stopped run goes on where it was. Sizes that are not given follow from the images, as "
        "RegionSparse.fit has them."
    )
    parser.add_argument(
        "--dataset", choices=tuple(DATASETS), default="digits", help="(default: %(default)s)"
    )
    parser.add_argument("--root", type=Path, metavar="DIR", help="where its files are")
    parser.add_argument("--size", type=whole_number, metavar="PIXELS", help="side of the images")
    parser.add_argument(
        "--n-images", type=whole_number, metavar="B", help="training images at most"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE.npy", help="patches [B, M], float32"
    )
    parser.add_argument(
        "--patches", choices=tuple(PATCHES), default="colour",
        help="of all channels or of each on its own (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--patch-size", type=whole_number, metavar="PIXELS", help="side of a patch")
    parser.add_argument("--per-image", type=whole_number, metavar="P", help="patches of each image")
    parser.add_argument(
        "--without", nargs="+", choices=CHOICES, default=[], metavar="STAGE",
        help=f"leave out IS (image smoothing) or PN (patch normalisation); of {', '.join(STAGES)}, "
        "those that patches depend on",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: %(default)s)")
    parser.add_argument("--threads", type=whole_number, help="of torch (default: torch's choice)")
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")


def run(arguments: argparse.Namespace) -> int:
    """Runs ``sparsedef patches``; returns the exit status."""
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    try:
        told = _write(arguments)
    except KeyboardInterrupt:
        print("\nStopped. What is finished is kept; the same command goes on.", file=sys.stderr)
        return 130
    except (ValueError, TypeError) as mistake:
        print(f"sparsedef patches: {mistake}", file=sys.stderr)
        return 2
    except (OSError, ImportError) as failure:
        print(f"sparsedef patches: {failure}", file=sys.stderr)
        return 1
    if not arguments.quiet:
        print(told)
    return 0


def _write(arguments: argparse.Namespace) -> str:
    if arguments.out.suffix != ".npy":
        raise ValueError(f"--out must end in .npy, got {arguments.out}")
    dataset = load_dataset(
        arguments.dataset,
        root=arguments.root,
        size=arguments.size,
        n_train=arguments.n_images,
        seed=arguments.seed,
    )
    sizes = RegionSparseSizes.for_size(min(dataset.train.images.shape[-2:]), arguments.patches)
    recipe = sizes.recipe(arguments.without, arguments.seed)
    given = {"size": arguments.patch_size, "per_image": arguments.per_image}
    recipe = replace(recipe, **{name: value for name, value in given.items() if value is not None})
    job = PatchJob(arguments.out, dataset, arguments.n_images or sizes.n_images, recipe)
    job.run(is_silent=arguments.quiet)
    about = read_json(job.about, "")
    assert about is not None
    alpha, n_atoms = about["alpha"], usual_n_atoms(recipe.n_features, recipe.patches)
    return (
        f"{job.n_rows} patches of {recipe.n_features} numbers from {len(job.images)} images of "
        f"{dataset.name} in {job.out}\nRegionSparse's own dictionary of them would be\n"
        f"  sparsedef learn {job.out} --n-atoms {n_atoms} --alpha {alpha:.4g} "
        f"--n-epochs {sizes.n_epochs} --batch-size {BATCH} --out dictionary.npy"
    )
