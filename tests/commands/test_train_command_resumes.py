"""A killed ``sparsedef train`` goes on to the bytes of one that was not."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest
import torch
from training_command import run, start

from sparsedef.models.checkpoint import load_classifier

pytest.importorskip("sklearn")
pytestmark = pytest.mark.slow

FGSM = ("fgsm-at", "--epochs", 4, "--quiet", "--threads", 1, "--checkpoint-steps", 3)
CODEC = (
    "comdefend", "--epochs", 2, "--width", 1, "--crop", 8, "--batch-size", 64, "--quiet",
    "--threads", 1, "--checkpoint-steps", 3,
)  # fmt: skip


@pytest.mark.parametrize("command", [FGSM, CODEC], ids=["fgsm-at", "comdefend"])
def test_killed_and_started_again_gives_the_same_bytes(
    command: tuple[object, ...], tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole.pt", tmp_path / "killed.pt"
    assert run(*command, "--out", whole) == 0
    state = tmp_path / "killed.pt.checkpoint"
    n_kills, last = 0, 0
    while n_kills < 3:
        process = start(*command, "--out", out)
        # at a moment that it does not choose, some time after it went on
        while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == last):
            time.sleep(0.001)
        time.sleep(0.02 * n_kills)
        process.kill()
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        assert not out.exists()
        n_kills, last = n_kills + 1, state.stat().st_mtime_ns
    steps = torch.load(state, weights_only=True)["n_done"]
    assert steps >= 6
    assert run(*command, "--out", out) == 0
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed.pt", "whole.pt"]


def test_an_interrupt_says_that_the_same_command_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "net.pt"
    process = start("standard", "--out", out, "--epochs", 200, "--threads", 1)
    while not (tmp_path / "net.pt.checkpoint").exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert "sparsedef train standard: interrupted" in text
    assert "the same command goes on" in text
    assert "Traceback" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt.checkpoint"]


def test_two_ranks_end_with_the_network_of_one(tmp_path: Path) -> None:
    # not Adam: where a gradient is nearly zero, it makes a whole step of a rounding error
    command = (
        "standard", "--epochs", 2, "--threads", 1, "--device", "cpu", "--recipe", "sgd", "--lr",
        "0.02",
    )  # fmt: skip
    one, two = tmp_path / "one.pt", tmp_path / "two.pt"
    assert run(*command, "--quiet", "--out", one) == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    ranks = [
        start(*command, "--out", two, RANK=str(rank), LOCAL_RANK=str(rank), **where)
        for rank in range(2)
    ]
    texts = [rank.communicate(timeout=250)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], texts
    assert "% clean" in texts[0]
    assert texts[1] == ""
    first, second = (load_classifier(path) for path in (one, two))
    for name, value in first.model.state_dict().items():
        torch.testing.assert_close(second.model.state_dict()[name], value, rtol=0, atol=1e-5)
    again = start(*command, "--out", two)  # what two have done, one need not do
    assert "% clean" in again.communicate(timeout=120)[0]


def test_a_mistake_is_told_by_every_rank(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    command = ("standard", "--epochs", 1, "--threads", 1, "--out", tmp_path / "net.pt")
    ranks = [
        start(*command, "--seed", rank, RANK=str(rank), LOCAL_RANK=str(rank), **where)
        for rank in range(2)
    ]
    texts = [rank.communicate(timeout=250)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [1, 1], texts
    assert all("all ranks must train the same model" in text for text in texts)
