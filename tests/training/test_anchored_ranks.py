"""Two ranks that train towards anchors end with the weights of one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from anchored_head import Head

from sparsedef.learning.ranks import ALONE, Ranks
from sparsedef.training import LinfAscent, Tensors
from sparsedef.training.anchored import AnchorObjective, train_anchored
from sparsedef.training.augment import Augment

ROOT = Path(__file__).parents[2]

WORK = """
import sys
import torch
import torch.multiprocessing
from sparsedef.streams.ranks import Processes
from test_anchored_ranks import trained

def one(rank, n_ranks, port, out):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=n_ranks)
    ranks = Processes(rank, n_ranks)
    torch.save(trained(ranks).state_dict(), f"{out}/{rank}.pt")
    ranks.wait()
    torch.distributed.destroy_process_group()

if __name__ == "__main__":
    torch.multiprocessing.spawn(one, (2, sys.argv[1], sys.argv[2]), nprocs=2)
"""


def trained(ranks: Ranks) -> Head:
    """Trains against attacked and augmented images; minibatches do not divide evenly."""
    generator = torch.Generator().manual_seed(2)
    source = Tensors(torch.rand(21, 3, 2, 2, generator=generator), torch.arange(21) % 3)
    head = Head()
    objective = AnchorObjective(LinfAscent(0.05, 2, 0.02))
    train_anchored(
        head, source, objective, epochs=3, batch_size=7, lr=0.05, augment=Augment(flip=True),
        ranks=ranks, is_silent=True,
    )  # fmt: skip
    return head


@pytest.mark.slow
def test_two_ranks_end_with_the_weights_of_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    (tmp_path / "work.py").write_text(WORK)
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    subprocess.run(
        [sys.executable, str(tmp_path / "work.py"), port, str(tmp_path)],
        check=True, cwd=ROOT, timeout=250, env={**own, "PYTHONPATH": path},
    )  # fmt: skip
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for name, value in trained(ALONE).state_dict().items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=0, atol=1e-5)
