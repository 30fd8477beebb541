"""What the commands share: options of data and runs, mistakes in one line, the printed table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from sparsedef.data import DATASETS
from sparsedef.evaluation import Evaluation, Flag, summary
from sparsedef.evaluation.report import PaperTable


def fraction(text: str) -> float:
    """Reads a number or a fraction, such as ``8/255``."""
    try:
        value = float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(
            f"must be a number or a fraction such as 8/255, got {text!r}"
        ) from None
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value


def whole_number(text: str) -> int:
    """Reads a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")
    return int(text)


def add_data_arguments(parser: argparse.ArgumentParser, *, default: str | None = "digits") -> None:
    """Adds the options that choose images; without a ``default`` the command has several."""
    parser.add_argument(
        "--dataset", choices=tuple(DATASETS), default=default,
        help=f"(default: {default or 'all that need no files'})",
    )  # fmt: skip
    parser.add_argument("--root", type=Path, metavar="DIR", help="where its files are")
    parser.add_argument("--size", type=whole_number, metavar="PIXELS", help="side of the images")
    parser.add_argument("--images", type=whole_number, metavar="B", help="test images at most")
    parser.add_argument(
        "--train-images",
        type=whole_number,
        metavar="B",
        help="training images at most, to fit defenses",
    )


def add_run_arguments(parser: argparse.ArgumentParser, folder: str) -> None:
    """Adds the options of every long run; ``folder`` is where results go by default."""
    parser.add_argument(
        "--out", type=Path, default=Path(folder), metavar="DIR", help="(default: ./%(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="few images, weak attacks")
    parser.add_argument("--seed", type=int, default=0, help="of everything (default: 0)")
    parser.add_argument(
        "--batch-size", type=whole_number, default=128, metavar="B",
        help="images attacked at once (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=whole_number, default=1,
        help="of torch (default: 1, which is fastest for small images unless all cores are idle)",
    )  # fmt: skip


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options as plain values, those that only say where and how fast left out."""
    left_out = ("command", "out", "threads", "root")
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(arguments).items()
        if name not in left_out
    }


def guarded(verb: str, arguments: argparse.Namespace, work: Callable[[], object]) -> int:
    """Runs ``work`` on so many threads; mistakes are one line and status 1, an interrupt 130."""
    before = torch.get_num_threads()
    torch.set_num_threads(arguments.threads)
    try:
        work()
    except KeyboardInterrupt:
        print(
            f"\nStopped. What is finished is kept in {arguments.out}; the same command continues "
            f"from there.",
            file=sys.stderr,
        )
        return 130
    except (ImportError, OSError, ValueError) as error:
        print(f"sparsedef {verb}: {error}", file=sys.stderr)
        return 1
    finally:
        torch.set_num_threads(before)
    return 0


def tell(
    found: Sequence[Evaluation],
    flags: Sequence[Flag],
    out: Path,
    tables: Sequence[PaperTable] = (),
) -> None:
    """Prints the table, what the checks found, where the files are, and a paper's tables."""
    print(summary(found, flags))
    tell_files(out)
    for table in tables:
        print(f"\n{table.to_text()}")


def tell_files(out: Path) -> None:
    """Prints where the page and its numbers are."""
    print(f"\n{out / 'report.html'} and {out / 'results.json'} written")
