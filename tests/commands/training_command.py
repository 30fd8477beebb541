"""The command ``sparsedef train``, here and in processes of its own."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from sparsedef.commands import train

ROOT = Path(__file__).parents[2]
OWN = (
    f"import argparse, sys; sys.path.insert(0, {str(ROOT)!r})\n"
    "from sparsedef.commands import train\n"
    "parser = argparse.ArgumentParser()\n"
    "train.add_arguments(parser)\n"
    "sys.exit(train.run(parser.parse_args()))\n"
)


def run(*arguments: object) -> int:
    """Runs the command in this process; returns the exit status."""
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return train.run(parser.parse_args([str(each) for each in arguments]))


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Starts it in a process of its own, one thread."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.Popen(
        [sys.executable, "-c", OWN, *(str(each) for each in arguments)],
        env={**own, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
