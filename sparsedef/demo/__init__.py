"""The demo: real images, a defense, honest attacks, one report. ``python -m sparsedef demo``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

TASKS = ("digits", "photographs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the demo's command-line options to ``parser``."""
    parser.description = (
        "Trains a small classifier on real images that come with scikit-learn, defends it by "
        "sparse coding of patches, attacks both, and writes results.json and a self-contained "
        "report.html. A stopped run continues where it was."
    )
    parser.add_argument(
        "--out", type=Path, default=Path("sparsedef-demo"), help="folder (default: ./%(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=1,
        help="of torch (default: 1, which is fastest for small images unless all cores are idle)",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="few images, weak attacks")
    parser.add_argument("--seed", type=int, default=0, help="of everything (default: 0)")
    parser.add_argument(
        "--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="data sets (default: both)"
    )


def main(args: argparse.Namespace) -> int:
    """Runs the demo as the command line asks; returns the exit status."""
    try:
        run(
            args.out,
            quick=args.quick,
            seed=args.seed,
            tasks=tuple(args.tasks),
            threads=args.threads,
        )
    except KeyboardInterrupt:
        print(
            f"\nStopped. What is finished is kept in {args.out / 'cache'}; "
            f"the same command continues from there.",
            file=sys.stderr,
        )
        return 130
    except (ImportError, OSError, ValueError) as error:
        print(f"sparsedef demo: {error}", file=sys.stderr)
        return 1
    return 0


def run(
    out: Path | str = "sparsedef-demo",
    *,
    quick: bool = False,
    seed: int = 0,
    tasks: Sequence[str] = TASKS,
    threads: int = 1,
    is_silent: bool = False,
) -> Path:
    """Runs the demo and writes ``results.json`` and ``report.html``.

    Every expensive stage is kept under ``out/cache``, named by a hash of all it depends on: a
    second run takes seconds, and a stopped one continues.

    Args:
        out: Folder, made if need be.
        quick: Few images and weak attacks.
        seed: Of data splits, training, dictionaries and attacks.
        tasks: Any of ``"digits"`` and ``"photographs"``.
        threads: Of torch meanwhile; more than one slows small images down when cores are busy.
        is_silent: Print nothing, show no progress bar.

    Returns:
        Path of the report.

    Raises:
        ImportError: scikit-learn, Pillow or Jinja2 is not installed.
        ValueError: An unknown task, none at all, a negative seed, or no threads.
    """
    import torch

    from sparsedef.demo.driver import drive

    unknown = [task for task in tasks if task not in TASKS]
    if unknown or not tasks:
        raise ValueError(f"demo.run: tasks must be some of {TASKS}, got {tuple(tasks)}")
    if seed < 0:
        raise ValueError(f"demo.run: seed must be >= 0, got {seed}")
    if threads < 1:
        raise ValueError(f"demo.run: threads must be >= 1, got {threads}")
    ordered = tuple(task for task in TASKS if task in tasks)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return drive(Path(out), quick=quick, seed=seed, tasks=ordered, is_silent=is_silent)
    finally:
        torch.set_num_threads(before)
