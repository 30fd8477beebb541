"""Small data on disk, and the command in processes of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sparsedef.testing import make_problem

ROOT = Path(__file__).parents[2]
FROM = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from sparsedef.cli import main; "


class Data:
    """Signals in two files of a folder, and a dictionary."""

    def __init__(self, folder: Path, n_signals: int = 1000, n_atoms: int = 48) -> None:
        self.folder = folder
        self.x, self.dictionary = (
            np.asarray(part, np.float32) for part in make_problem(n_signals, 24, n_atoms)
        )
        middle = n_signals // 3
        self.inputs = [folder / "a.npy", folder / "b.npy"]
        np.save(self.inputs[0], self.x[:middle])
        np.save(self.inputs[1], self.x[middle:])
        np.save(folder / "d.npy", self.dictionary)

    def encode(self, out: Path, *options: str) -> list[str]:
        """The command line that codes them in small pieces."""
        files = [str(path) for path in self.inputs]
        dictionary = str(self.folder / "d.npy")
        sizes = ["--shard-rows", "96", "--chunk-rows", "40", "--threads", "1", "--device", "cpu"]
        return [
            *("encode", *files, "--dictionary", dictionary, "--out", str(out)),
            *sizes,
            *(options or ("--alpha", "0.1")),
        ]

    def learn(self, out: Path, *options: str) -> list[str]:
        """The command line that learns atoms from them in small minibatches."""
        files = [str(path) for path in self.inputs]
        sizes = ["--batch-size", "64", "--block-rows", "8", "--threads", "1", "--device", "cpu"]
        method = [] if "--n-nonzero" in options else ["--alpha", "0.1"]
        return ["learn", *files, "--n-atoms", "32", "--out", str(out), *sizes, *method, *options]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def start(arguments: list[str], **environment: str) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.Popen(
        [sys.executable, "-c", FROM + "sys.exit(main())", *arguments],
        env={**own, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start_ranks(arguments: list[str], *others: list[str]) -> list[subprocess.Popen[str]]:
    """The command on two ranks, or a command for each rank, started as torchrun does."""
    commands = [arguments, *(others or (arguments,))]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(len(commands))}
    return [
        start(command, RANK=str(rank), LOCAL_RANK=str(rank), **where)
        for rank, command in enumerate(commands)
    ]


def kill_when(is_time: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Ends a process with SIGKILL at a moment that it does not choose."""
    while not is_time() and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.communicate(timeout=30)
