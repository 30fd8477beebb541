"""``sparsedef evaluate``: any classifier behind any defense against any attack."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sparsedef.attacks import ATTACKS
from sparsedef.commands.running import (
    add_data_arguments,
    add_run_arguments,
    fraction,
    guarded,
    settings_of,
    tell,
)
from sparsedef.data import load_dataset
from sparsedef.defenses import DEFENSES
from sparsedef.defenses.semantic import EmbeddingClassifier
from sparsedef.evaluation import (
    EDITS,
    Cache,
    Task,
    Words,
    evaluate,
    standard_plan,
    write_pages,
)
from sparsedef.evaluation.assemble import bare, defend, only_right, trained, versions
from sparsedef.evaluation.contenders import NONE
from sparsedef.models import load_model
from sparsedef.streams.ranks import Processes, join_ranks

QUICK = 64  # test images of a quick run
LEAD = (
    "Every classifier below is attacked by attacks that know it, those of the table that follows. "
    "An image that is misclassified without any attack counts as wrong throughout.",
)
CAVEATS = (
    "An accuracy under attack is an upper bound: a stronger attack can only lower it.",
    "Intervals describe other images of the same data set, not other data sets.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``sparsedef evaluate`` to ``parser``."""
    parser.description = (
        "Attacks a classifier, bare and behind each defense, by attacks that know it, and writes "
        "results.json and a self-contained report.html. A stopped run continues where it was; "
        "torchrun -m sparsedef evaluate ... shares the images over processes."
    )
    add_data_arguments(parser)
    parser.add_argument(
        "--only-right", action="store_true",
        help="only test images that the bare classifier has right (flatters)",
    )  # fmt: skip
    parser.add_argument(
        "--model", default="small_cnn", metavar="SPEC",
        help="small_cnn (trained here), wrn-10-2, torchvision:NAME, FILE.py:FUNCTION or a file "
        "that sparsedef train wrote (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--weights", type=Path, metavar="FILE", help="of the model")
    parser.add_argument(
        "--defenses", nargs="+", default=["regionsparse"], metavar="NAME",
        help=f"of {', '.join(name for name in DEFENSES if name != NONE)}; FILE.py:FUNCTION; all "
        f"(but ssd, which brings its own CLIP; default: regionsparse)",
    )  # fmt: skip
    parser.add_argument(
        "--also",
        nargs="+",
        default=[],
        metavar="NAME=SPEC",
        help="other classifiers, such as adversarially trained ones, evaluated beside it",
    )
    parser.add_argument(
        "--attacks", nargs="+", default=[], choices=(*ATTACKS, *EDITS), metavar="NAME",
        help=f"of {', '.join(ATTACKS)}; edits without a radius: {', '.join(EDITS)} (default: the "
        f"usual ones)",
    )  # fmt: skip
    parser.add_argument(
        "--edits", type=Path, metavar="DIR", help="of edited_folder: DIR/ID/*.png for each image"
    )
    parser.add_argument(
        "--strengths", nargs="+", type=fraction, default=[4 / 255, 8 / 255, 16 / 255],
        metavar="R", help="L-infinity radii, such as 8/255 (default: 4/255 8/255 16/255)",
    )  # fmt: skip
    parser.add_argument(
        "--budgets",
        nargs="+",
        type=fraction,
        default=[],
        metavar="R",
        help="L2 radii relative to the images' mean norm, such as 0.05 (default: no L2 attack)",
    )
    parser.add_argument(
        "--transfer", action="store_true",
        help="also score what was made on each classifier on all others",
    )  # fmt: skip
    add_run_arguments(parser, "sparsedef-evaluate")


def run(arguments: argparse.Namespace) -> int:
    """Runs ``sparsedef evaluate``; returns the exit status."""
    return guarded("evaluate", arguments, lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> None:
    with join_ranks() as ranks:
        known = versions()
        cache = Cache(arguments.out / "cache", known)
        # rank 0 first: the others find on disk what was trained
        task = ranks.attempt(lambda: _task(arguments, cache) if ranks.rank == 0 else None)
        _evaluate(arguments, task or _task(arguments, cache), cache, known, ranks)


def _evaluate(
    arguments: argparse.Namespace,
    task: Task,
    cache: Cache,
    known: dict[str, str],
    ranks: Processes,
) -> None:
    plan = standard_plan(
        tuple(arguments.strengths), tuple(arguments.budgets), n_classes=len(task.classes),
        seed=arguments.seed, quick=arguments.quick, names=tuple(arguments.attacks),
        edits=None if arguments.edits is None else str(arguments.edits),
    )  # fmt: skip
    plan = replace(plan, with_transfer=arguments.transfer, batch_size=arguments.batch_size)
    found = evaluate(task, plan, cache=cache, ranks=ranks, is_silent=ranks.rank > 0)
    if ranks.rank > 0:
        return
    words = Words(
        title=f"{task.name}: robustness under attacks that know the defense",
        lead=LEAD,
        caveats=CAVEATS,
        settings=settings_of(arguments),
    )
    flags = write_pages(arguments.out, [found], known, words)
    tell([found], flags, arguments.out)


def _task(arguments: argparse.Namespace, cache: Cache) -> Task:
    dataset = load_dataset(
        arguments.dataset, root=arguments.root, size=arguments.size, seed=arguments.seed,
        n_train=arguments.train_images, n_test=None if arguments.only_right else _count(arguments),
    )  # fmt: skip
    classes, size = len(dataset.classes), dataset.test.images.shape[-1]
    if arguments.model == "small_cnn" and arguments.weights is None:
        classifier = trained(cache, "small_cnn", dataset, seed=arguments.seed)
    else:
        classifier = load_model(
            arguments.model, n_classes=classes, size=size, weights=arguments.weights
        )
    contenders = {NONE: bare(classifier)}
    for each in arguments.also:
        name, is_given, spec = each.partition("=")
        if not is_given:
            raise ValueError(f"evaluate: --also must be NAME=SPEC, got {each!r}")
        contenders[name] = bare(load_model(spec, n_classes=classes, size=size))
    names = _defense_names(arguments.defenses)
    contenders |= defend(classifier, names, dataset.train, seed=arguments.seed)
    test = only_right(classifier, dataset.test) if arguments.only_right else dataset.test
    return Task(
        dataset.name, test.take(_count(arguments) or len(test)), dataset.classes, contenders,
        dataset.source, (("images", _which(arguments)),),
    )  # fmt: skip


def _count(arguments: argparse.Namespace) -> int | None:
    return arguments.images or (QUICK if arguments.quick else None)


def _which(arguments: argparse.Namespace) -> str:
    if arguments.only_right:
        return "only those that the bare classifier has right, which flatters every figure"
    return "test images, clean errors included"


def _defense_names(asked: Sequence[str]) -> list[str]:
    # ssd brings an encoder of its own, and defends no classifier that it is given
    every = [name for name, kind in DEFENSES.items() if not issubclass(kind, EmbeddingClassifier)]
    names = every if "all" in asked else list(asked)
    return [name for name in dict.fromkeys(names) if name != NONE]
