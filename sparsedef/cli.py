"""The command ``sparsedef``: one verb for each thing that a user does from a shell."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sparsedef import config
from sparsedef.version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status (130 when it was interrupted)."""
    parser = argparse.ArgumentParser(
        prog="sparsedef", description="Sparse coding with certificates, and honest defenses."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("doctor", help="say what is active here and check it in two seconds")
    demo = commands.add_parser(
        "demo", help="attack a classifier, defend it by sparse coding, attack it adaptively"
    )
    _add_demo_arguments(demo)
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "doctor":
            return 0 if config.doctor() else 1
        from sparsedef.demo import main as run_demo

        return run_demo(arguments)
    except KeyboardInterrupt:
        print("\ninterrupted; what is finished is kept, the same command goes on", file=sys.stderr)
        return 130


def _add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    from sparsedef.demo import add_arguments

    add_arguments(parser)
