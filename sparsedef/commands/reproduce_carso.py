"""``sparsedef reproduce carso``: base against CARSO, as published and under all attacks."""

from __future__ import annotations

import argparse
from dataclasses import replace

from sparsedef.commands.running import (
    add_data_arguments,
    add_run_arguments,
    fraction,
    settings_of,
    tell,
    whole_number,
)
from sparsedef.data import load_dataset
from sparsedef.defenses.carso import SHIPPED, shipped_files
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
        "--shipped", action="store_true",
        help="base and purifier that come with the library (digits, shapeworld)",
    )  # fmt: skip
    parser.add_argument(
        "--external", metavar="FILE.py:build", help="another purifier, such as a diffusion model"
    )
    parser.add_argument(
        "--nominal-eps", action="store_true", help="train by the paper's radii"
    )  # fmt: skip
    parser.add_argument(
        "--strengths", nargs="+", type=fraction, metavar="EPS",
        help="radii; ablations at the largest (default: 8/255 16/255; quick: 16/255)",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=whole_number, metavar="N",
        help="of APGD and margin PGD; twice as many of the published PGD, ten times as many "
        "queries of Square; leaves out AutoAttack, whose lengths are fixed",
    )  # fmt: skip
    parser.add_argument(
        "--draws", type=whole_number, metavar="D",
        help="EOT of the attacks; the sweep has 1, D and 5 D; leaves out AutoAttack",
    )  # fmt: skip
    add_run_arguments(parser, "sparsedef-carso")


def run_carso(arguments: argparse.Namespace) -> None:
    """Trains, attacks, prints the tables and writes the pages."""
    choice, amount = choice_of(arguments), amount_of(arguments)
    known = versions()
    cache = Cache(arguments.out / "cache", known)
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


def choice_of(arguments: argparse.Namespace) -> Choice:
    """What is given instead of being trained."""
    if arguments.purifier is not None and arguments.base is None:
        raise ValueError("--purifier needs --base, the classifier that it was trained for")
    base, purifier, title = arguments.base, arguments.purifier, ""
    if arguments.shipped:
        if base is not None:
            raise ValueError("--shipped has a base and a purifier; pass no --base beside it")
        base, purifier = map(str, shipped_files(arguments.dataset))
        title = "wrn-10-1-silu, adversarially trained, shipped"
    return Choice(
        base, arguments.weights, purifier, arguments.external, arguments.nominal_eps, title
    )


def amount_of(arguments: argparse.Namespace) -> Amount:
    """How much the options ask for."""
    amount, steps, draws = QUICK if arguments.quick else FULL, arguments.steps, arguments.draws
    if arguments.shipped and not arguments.quick:
        amount = replace(amount, purifier=SHIPPED[arguments.dataset])  # of the ablations
    if arguments.images is not None:
        amount = replace(amount, n_images=arguments.images)
    if arguments.strengths is not None:
        amount = replace(amount, strengths=tuple(sorted(arguments.strengths)))
    if steps is not None:
        amount = replace(amount, steps=steps, published_steps=2 * steps, queries=10 * steps)
    if draws is not None:
        amount = replace(amount, draws=draws, sweep=tuple(sorted({1, draws, 5 * draws})))
    if steps is not None or draws is not None:
        amount = replace(amount, has_autoattack=False)
    return amount


def _about(arguments: argparse.Namespace, amount: Amount, fixed_name: str) -> str:
    told = (
        "Base and purifier are small networks on small images; published figures stand beside "
        f"where they are verified. The fixed seed is attacked by {fixed_name}."
    )
    if _lengths(amount) != _lengths(FULL):
        told += (
            f" This is less than the paper's protocol: attacks of {amount.steps} steps and PGD of "
            f"{amount.published_steps} with EOT {amount.draws}, where the paper has 100 and 200 "
            f"with EOT 20; an EOT sweep of {', '.join(map(str, amount.sweep))}."
        )
    if not amount.has_autoattack:
        told += " Our own APGD stands in AutoAttack's place."
    if arguments.quick:
        whose = "those of the ablations" if arguments.shipped else "tiny networks"
        told += (
            f" This is a quick run: {amount.n_images} images, wide intervals, and {whose} trained "
            "briefly."
        )
    return told


def _lengths(amount: Amount) -> tuple[int, int, int]:
    return amount.steps, amount.published_steps, amount.draws
