"""``sparsedef reproduce``: a paper's experiments in its own layout, with the attacks it lacks."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from sparsedef.commands import reproduce_carso as carso
from sparsedef.commands import reproduce_laat as laat
from sparsedef.commands import reproduce_regionsparse as regionsparse
from sparsedef.commands import reproduce_ssd as ssd
from sparsedef.commands.running import guarded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the papers that ``sparsedef reproduce`` knows, each with its options, to ``parser``."""
    parser.description = "Runs a paper's experiments on data that is here, or on yours."
    papers = parser.add_subparsers(dest="paper", required=True, metavar="PAPER")
    for name, (about, add, _) in PAPERS.items():
        add(papers.add_parser(name, help=about))


def run(arguments: argparse.Namespace) -> int:
    """Runs ``sparsedef reproduce``; returns the exit status."""
    _, _, work = PAPERS[arguments.paper]
    return guarded(f"reproduce {arguments.paper}", arguments, lambda: work(arguments))


PAPERS: dict[
    str,
    tuple[
        str,
        Callable[[argparse.ArgumentParser], None],
        Callable[[argparse.Namespace], None],
    ],
] = {
    "regionsparse": (
        regionsparse.ABOUT, regionsparse.add_regionsparse, regionsparse.run_regionsparse
    ),
    "ssd": (ssd.ABOUT, ssd.add_ssd, ssd.run_ssd),
    "laat": (laat.ABOUT, laat.add_laat, laat.run_laat),
    "carso": (carso.ABOUT, carso.add_carso, carso.run_carso),
}  # fmt: skip
