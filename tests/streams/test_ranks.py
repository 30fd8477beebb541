"""What ranks exchange: sums in one order, rows of unequal numbers, mistakes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_data import ROOT

from sparsedef.learning import Ranks
from sparsedef.streams import ranks as module
from sparsedef.streams.ranks import Processes, join_ranks

EXCHANGE = """
import sys
import torch
import torch.multiprocessing
from sparsedef.streams import ranks as module

def one(rank, port, out):
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=3)
    module._PIECE = 4  # sums go in several pieces
    ranks = module.Processes(rank, 3)
    numbers = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))
    found = {"sum": ranks.sum(numbers[rank])}
    found["rows"] = ranks.gather(torch.full((2 - rank, 2), float(rank)))
    found["whole"] = ranks.gather(torch.tensor([rank]))
    found["shared"] = ranks.share(b"from rank %d" % rank).decode()
    found["nothing"] = len(ranks.share())
    def fail():
        if rank == 1:
            raise KeyError("only here")
    try:
        ranks.attempt(fail)
    except Exception as error:
        found["error"] = f"{type(error).__name__}: {error}"
    torch.save(found, f"{out}/{rank}.pt")
    ranks.wait()
    torch.distributed.destroy_process_group()

if __name__ == "__main__":
    torch.multiprocessing.spawn(one, (int(sys.argv[1]), sys.argv[2]), nprocs=3)
"""


@pytest.mark.slow
def test_all_ranks_get_the_same_bits(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    (tmp_path / "exchange.py").write_text(EXCHANGE)
    command = [sys.executable, str(tmp_path / "exchange.py"), port, str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=120, env={**_own(), "PYTHONPATH": "."})
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(3)]
    numbers = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))
    for each in found:
        assert torch.equal(each["sum"], numbers[0] + numbers[1] + numbers[2])
        assert each["rows"].tolist() == [[0, 0], [0, 0], [1, 1]]
        assert each["whole"].tolist() == [0, 1, 2]
        assert each["shared"] == "from rank 0"
        assert each["nothing"] == 0
    errors = [each["error"] for each in found]
    assert errors[0] == errors[2] == "ValueError: rank 1: 'only here'"
    assert errors[1] == "KeyError: 'only here'"


def _own() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


def test_one_process_is_its_own_ranks() -> None:
    ranks: Ranks = Processes()
    x = torch.randn(3, 2)
    assert ranks.sum(x) is x
    assert ranks.gather(x) is x
    assert ranks.share(b"abc") == b"abc"
    ranks.wait()
    with pytest.raises(KeyError, match="mine"):
        ranks.attempt(lambda: {}["mine"])


def test_a_rank_that_knows_no_meeting_place_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with (
        pytest.raises(ValueError, match=r"MASTER_ADDR.* is not set: start with torchrun"),
        join_ranks(),
    ):
        pass
    assert module.local_rank() == 0
