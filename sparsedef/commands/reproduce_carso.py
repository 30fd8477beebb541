"""``sparsedef reproduce carso``: base against CARSO, as published and under all attacks."""

from __future__ import annotations

import argparse
from dataclasses import replace

from sparsedef.commands.running import (
    add_data_arguments,
    add_run_arguments,
    settings_of,
    tell,
)
from sparsedef.data import load_dataset
from sparsedef.evaluation import Cache, Words, work_bar, write_pages
from sparsedef.evaluation.assemble import versions
from sparsedef.reproduce.carso import run_all
from sparsedef.reproduce.carso_parts import CARSO_NAME, FIXED_NAME, Choice
from sparsedef.reproduce.carso_pictures import strips
from sparsedef.reproduce.carso_sizes import FULL, QUICK, Amount
from sparsedef.reproduce.carso_tables import first_sentence, tables

ABOUT = "adversarial training and purification, blended"
CAVEATS = (
    "The line “literal float32 PeeL” attacks through the published aggregation as it is, to show "
    "what its saturation does; its useless gradients are flagged, and are meant to be.",
    "One training with one seed: a difference between purifiers may be the seed's.",
    "Not in the paper: the sparse code, which has no samples.",
)


def add_carso(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.description = (
        "CARSO: an adversarially trained classifier, alone and behind its purifier, under the "
        "published attacks and those that they lack; ablations, EOT sweep, cost."
    )
    add_data_arguments(parser)
    parser.add_argument("--base", metavar="SPEC", help="a classifier (default: trained here)")
    parser.add_argument("--weights", metavar="FILE", help="of a --base by its name")
    parser.add_argument("--purifier", metavar="FILE", help="of sparsedef train carso, for --base")
    parser.add_argument(
        "--external", metavar="FILE.py:build", help="another purifier, such as a diffusion model"
    )
    parser.add_argument(
        "--nominal-eps", action="store_true", help="train by the paper's radii"
    )  # fmt: skip
    add_run_arguments(parser, "sparsedef-carso")


def run_carso(arguments: argparse.Namespace) -> None:
    """Trains, attacks, prints the tables and writes the pages."""
    if arguments.purifier is not None and arguments.base is None:
        raise ValueError("--purifier needs --base, the classifier that it was trained for")
    known = versions()
    cache = Cache(arguments.out / "cache", known)
    amount = QUICK if arguments.quick else FULL
    if arguments.images is not None:
        amount = replace(amount, n_images=arguments.images)
    choice = Choice(
        arguments.base, arguments.weights, arguments.purifier, arguments.external,
        arguments.nominal_eps,
    )  # fmt: skip
    with work_bar() as bar:
        bar.say(arguments.dataset)
        size = arguments.size or (32 if arguments.dataset == "shapeworld" else None)
        dataset = load_dataset(
            arguments.dataset, root=arguments.root, size=size, seed=arguments.seed,
            n_train=arguments.train_images,
        )  # fmt: skip
        found = run_all(
            dataset, cache, amount, choice, seed=arguments.seed, batch_size=arguments.batch_size,
            bar=bar,
        )  # fmt: skip
    laid_out = tables(found)
    sentence = first_sentence(found)
    lead = [sentence, _about(arguments, amount, found.fixed_name)]
    words = Words(
        title="CARSO: adversarial training and purification, blended",
        lead=lead,
        caveats=CAVEATS,
        settings=settings_of(arguments) | {"amount": repr(amount)},
        strips={(found.main.task.name, CARSO_NAME): strips(found, arguments.seed)},
        tables=laid_out,
        shown=(CARSO_NAME, FIXED_NAME),
    )
    flags = write_pages(arguments.out, found.evaluations, known, words)
    tell(found.evaluations, flags, arguments.out, laid_out)
    print(f"\n{sentence}")


def _about(arguments: argparse.Namespace, amount: Amount, fixed_name: str) -> str:
    told = (
        "Base and purifier are small networks on small images; published figures stand beside "
        f"where they are verified. The fixed seed is attacked by {fixed_name}."
    )
    if arguments.quick:
        told += (
            f" This is a quick run: {amount.n_images} images, tiny networks trained briefly, "
            f"attacks of {amount.steps} steps and PGD of {amount.published_steps} with EOT "
            f"{amount.draws}, where the paper has 100 and 200 with EOT 20, an EOT sweep of "
            f"{', '.join(map(str, amount.sweep))} instead of 1, 20, 100, and our own APGD in "
            "AutoAttack's place. Its intervals are wide."
        )
    return told
