"""Runs a function of a test module on several ranks, each a process of its own."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]

WORK = """
import sys
from importlib import import_module
import torch
import torch.multiprocessing
from sparsedef.streams.ranks import Processes

def one(rank, module, n_ranks, port, out):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=n_ranks)
    ranks = Processes(rank, n_ranks)
    torch.save(import_module(module).on_rank(ranks, out), f"{out}/{rank}.pt")
    ranks.wait()
    torch.distributed.destroy_process_group()

if __name__ == "__main__":
    module, n_ranks, port, out = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    torch.multiprocessing.spawn(one, (module, n_ranks, port, out), nprocs=n_ranks)
"""


def run_apart(module: str, n_ranks: int, folder: Path) -> list[Any]:
    """Calls ``on_rank(ranks, folder)`` of a module of this folder on each rank; what each gave."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    (folder / "work.py").write_text(WORK)
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    subprocess.run(
        [sys.executable, str(folder / "work.py"), module, str(n_ranks), port, str(folder)],
        check=True, cwd=ROOT, timeout=250, env={**own, "PYTHONPATH": path},
    )  # fmt: skip
    return [torch.load(folder / f"{rank}.pt") for rank in range(n_ranks)]
