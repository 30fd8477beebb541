"""``sparsedef reproduce regionsparse``: its tables and figures, and the attack that they lack."""

from __future__ import annotations

import argparse
from dataclasses import replace

from sparsedef.commands.running import add_data_arguments, add_run_arguments, settings_of, tell
from sparsedef.data import load_dataset
from sparsedef.evaluation import Cache, Words, evaluate, total_cost, work_bar, write_pages
from sparsedef.evaluation.assemble import versions
from sparsedef.reproduce.regionsparse import EXPERIMENTS
from sparsedef.reproduce.regionsparse_paper import NOT_THERE

QUICK_TRAINING = 2000  # images at most that networks and defenses of a quick run are fitted to
ABOUT = "patches of clean images against adversarial noise"


def add_regionsparse(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``sparsedef reproduce regionsparse`` to ``parser``."""
    parser.description = (
        "RegionSparse: its tables and figures at the paper's strengths, beside the paper's "
        "figures, and the adaptive attack that the paper lacks."
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--table", type=int, choices=(2,), help="of the paper (default: 2)")
    which.add_argument("--figure", type=int, choices=(4, 5, 6, 7, 8), help="of the paper")
    add_data_arguments(parser, default=None)
    add_run_arguments(parser, "sparsedef-regionsparse")


def run_regionsparse(arguments: argparse.Namespace) -> None:
    """Runs ``sparsedef reproduce regionsparse``."""
    name = f"figure {arguments.figure}" if arguments.figure else "table 2"
    experiment = EXPERIMENTS[name]
    known = versions()
    cache = Cache(arguments.out / "cache", known)
    plan = experiment.plan(seed=arguments.seed, quick=arguments.quick)
    plan = replace(plan, batch_size=arguments.batch_size)
    n = arguments.images or (experiment.n_quick if arguments.quick else 200)
    names = [arguments.dataset] if arguments.dataset else ["digits", "shapeworld"]
    with work_bar() as bar:
        tasks = []
        for each in names:
            bar.say(each)
            dataset = load_dataset(
                each, root=arguments.root, size=arguments.size, seed=arguments.seed,
                n_train=arguments.train_images,
            )  # fmt: skip
            if arguments.quick and arguments.train_images is None:
                dataset = replace(dataset, train=dataset.train.take(QUICK_TRAINING))
            tasks.append(
                experiment.task(
                    dataset, cache, n=n, seed=arguments.seed, quick=arguments.quick, say=bar.say
                )
            )
        bar.expect(sum(total_cost(plan, task) for task in tasks))
        found = [evaluate(task, plan, cache=cache, advance=bar.advance) for task in tasks]
    tables = [table for each in found for table in experiment.lay_out(each)]
    words = Words(
        title=f"RegionSparse, {name}: {experiment.title}",
        lead=[
            "The experiment of the paper on small images and a small network, at the paper's "
            "strengths; its own figures, of Inception-v3 on ImageNet, stand beside where it gives "
            "them, and are not comparable in size, only in shape.",
            NOT_THERE,
        ],
        caveats=["As in the paper, only images that the bare classifier has right are attacked."],
        settings=settings_of(arguments),
        tables=tables,
    )
    flags = write_pages(arguments.out, found, known, words)
    tell(found, flags, arguments.out, tables)
