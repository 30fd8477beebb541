"""``sparsedef reproduce ssd``: SSD and its rivals under semantic attacks."""

from __future__ import annotations

import argparse
from dataclasses import replace

from sparsedef.clip import load_clip
from sparsedef.commands.running import add_run_arguments, settings_of, tell_files, whole_number
from sparsedef.evaluation import Cache, work_bar
from sparsedef.evaluation.assemble import versions
from sparsedef.evaluation.flags import told_once
from sparsedef.reproduce.ssd import reproduce, write
from sparsedef.reproduce.ssd_search import conditions
from sparsedef.reproduce.ssd_world import FULL, QUICK, Sizes, World

ABOUT = "sparse codes of concepts against semantic edits"


def add_ssd(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``sparsedef reproduce ssd`` to ``parser``."""
    parser.description = (
        "SSD, the sparse semantic defense, beside every baseline with the same encoder, under "
        "semantic attacks that know it; on ShapeWorld, with the CLIP that is shipped."
    )
    parser.add_argument(
        "--clip", default="small", metavar="NAME",
        help="small (shipped) or a model of open_clip (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--pretrained", metavar="FILE|TAG", help="its weights; nothing is downloaded"
    )
    parser.add_argument("--images", type=whole_number, metavar="B", help="test scenes")
    parser.add_argument("--train-images", type=whole_number, metavar="B", help="training scenes")
    parser.add_argument(
        "--conditions", choices=("few", "all"),
        help="in which sparse code and dense head are compared (default: all, few if --quick)",
    )  # fmt: skip
    add_run_arguments(parser, "sparsedef-ssd")


def run_ssd(arguments: argparse.Namespace) -> None:
    """Runs ``sparsedef reproduce ssd``."""
    encoder = load_clip(arguments.clip, arguments.pretrained)
    known = versions()
    cache = Cache(arguments.out / "cache", known)
    with work_bar() as bar:
        world = World(encoder, cache, sizes_of(arguments), arguments.seed, bar.say)
        which = arguments.conditions or ("few" if arguments.quick else "all")
        looked_at = conditions(world, which)
        results = reproduce(world, bar, settings_of(arguments), known, looked_at)
    write(arguments.out, results)
    for table in results.tables:
        print(f"{table.to_text()}\n")
    for sentence in results.reading:
        print(f"- {sentence}")
    for flag in told_once(results.flags):
        print(flag.sentence)
    tell_files(arguments.out)


def sizes_of(arguments: argparse.Namespace) -> Sizes:
    """How much of everything the options ask for."""
    sizes = QUICK if arguments.quick else FULL
    if arguments.images:
        n_validation = min(sizes.n_validation, arguments.images)
        sizes = replace(sizes, n_test=arguments.images, n_validation=n_validation)
    if arguments.train_images:
        sizes = replace(sizes, n_train=arguments.train_images)
    return sizes
