"""Ranks that share minibatches end with the weights of one, and all with the same bits."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_training import make_net, run

ROOT = Path(__file__).parents[2]

WORK = """
import sys
import torch
import torch.multiprocessing
from sparsedef.streams.ranks import Processes
from small_training import make_net, run

def one(rank, n_ranks, port, out):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=n_ranks)
    ranks = Processes(rank, n_ranks)
    found = {}
    def train(name, **options):
        options.setdefault("net", make_net(has_norm=False, dropout=0.0))
        net, trained = run(ranks=ranks, **options)
        found[name] = {"state": net.state_dict(), "losses": trained.losses,
                       "scores": trained.scores}
    train("plain")
    train("clipped", max_norm=0.05, kind="sgd")
    train("tiny", batch_size=2, kind="sgd")
    train("norm", net=make_net(dropout=0.0))
    options = {"checkpoint": f"{out}/state.pt", "checkpoint_steps": 2}
    try:
        run(ranks=ranks, stop=11, net=make_net(dropout=0.0), **options)
    except KeyboardInterrupt:
        pass
    ranks.wait()
    train("resumed", net=make_net(dropout=0.0), **options)
    try:
        run(ranks=ranks, seed=rank)
    except ValueError as error:
        found["error"] = str(error)
    torch.save(found, f"{out}/{rank}.pt")
    ranks.wait()
    torch.distributed.destroy_process_group()

if __name__ == "__main__":
    n_ranks, port, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    torch.multiprocessing.spawn(one, (n_ranks, port, out), nprocs=n_ranks)
"""


@pytest.mark.slow
@pytest.mark.parametrize("n_ranks", [2, 3])
def test_ranks_end_with_the_weights_of_one(n_ranks: int, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    (tmp_path / "work.py").write_text(WORK)
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    subprocess.run(
        [sys.executable, str(tmp_path / "work.py"), str(n_ranks), port, str(tmp_path)],
        check=True, cwd=ROOT, timeout=250, env={**own, "PYTHONPATH": path},
    )  # fmt: skip
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(n_ranks)]
    for name in ("plain", "clipped", "tiny", "norm", "resumed"):
        for other in found[1:]:
            assert other[name]["losses"] == found[0][name]["losses"]
            assert other[name]["scores"] == found[0][name]["scores"]
            for key, value in found[0][name]["state"].items():
                assert torch.equal(other[name]["state"][key], value), (name, key)
    for name, options in [
        ("plain", {}),
        ("clipped", {"max_norm": 0.05, "kind": "sgd"}),
        ("tiny", {"batch_size": 2, "kind": "sgd"}),
    ]:
        net, trained = run(net=make_net(has_norm=False, dropout=0.0), **options)
        for key, value in net.state_dict().items():
            torch.testing.assert_close(found[0][name]["state"][key], value, rtol=0, atol=1e-6)
        assert found[0][name]["losses"] == pytest.approx(trained.losses, abs=1e-6)
    for key, value in found[0]["norm"]["state"].items():
        assert torch.equal(found[0]["resumed"]["state"][key], value), key
    assert all("all ranks must train the same model" in each["error"] for each in found)
