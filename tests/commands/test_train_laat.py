"""``sparsedef train laat``: what it writes, what it refuses, and that a killed one goes on."""

import signal
import socket
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from training_command import run, start

from sparsedef.defenses.laat import AnchorInputs, make_anchors, shapeworld_texts
from sparsedef.defenses.laat.saved import load_laat

SMALL = ("laat", "--size", 16, "--epochs", 2, "--train-images", 96, "--threads", 1)


def test_the_file_has_a_network_and_the_anchors_of_unseen_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "net.pt"
    assert run(*SMALL, "--out", out) == 0
    assert "validation classes" in capsys.readouterr().out
    saved = load_laat(out)
    texts, _ = shapeworld_texts()
    inputs = AnchorInputs(texts, saved.seen)
    expected = make_anchors("expanded", inputs, saved.unseen)
    torch.testing.assert_close(saved.model.anchors, expected)
    assert saved.model(torch.rand(2, 3, 16, 16)).shape == (2, 5)
    assert not set(saved.seen) & set(saved.unseen)
    assert saved.of(("plain star",))(torch.rand(1, 3, 16, 16)).shape == (1, 1)
    with pytest.raises(ValueError, match="'dog'"):
        saved.of(("dog",))
    assert len(saved.about["scores"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]


def test_stored_texts_and_other_losses_are_taken(tmp_path: Path) -> None:
    texts, _ = shapeworld_texts()
    np.save(tmp_path / "t.npy", texts.features[:, :32].numpy())
    (tmp_path / "t.txt").write_text("\n".join(texts.names))
    more = ("--texts", tmp_path / "t.npy", "--anchors", "raw", "--alignment", "cos", "--awp",
            "5e-3", "--quiet")  # fmt: skip
    assert run(*SMALL, *more, "--out", tmp_path / "net.pt") == 0
    saved = load_laat(tmp_path / "net.pt")
    assert saved.model.anchors.shape == (5, 32)
    assert "weight_radius=0.005" in saved.about["training"]["objective"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dataset", "cifar_fs"), "root must be the folder"),
        (("--dataset", "miniimagenet", "--root", "nowhere"), "nowhere"),
        (("--root", "here"), "not for shapeworld"),
        (("--texts", "none.npy"), "none.npy"),
        (("--smoothness", "-1"), "smoothness must be at least 0"),
    ],
    ids=["root", "folder", "drawn", "texts", "smoothness"],
)
def test_a_mistake_is_one_line(
    options: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(*SMALL, *options, "--out", tmp_path / "net.pt") == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_killed_and_started_again_gives_the_same_bytes(tmp_path: Path) -> None:
    command = (*SMALL, "--epochs", 6, "--quiet", "--checkpoint-steps", 2, "--device", "cpu")
    whole, out = tmp_path / "whole.pt", tmp_path / "killed.pt"
    assert run(*command, "--out", whole) == 0
    state = tmp_path / "killed.pt.checkpoint"
    n_kills, last = 0, 0
    while n_kills < 3:
        process = start(*command, "--out", out)
        while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == last):
            time.sleep(0.001)
        process.kill()
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        assert not out.exists()
        n_kills, last = n_kills + 1, state.stat().st_mtime_ns
    assert run(*command, "--out", out) == 0
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed.pt", "whole.pt"]


@pytest.mark.slow
def test_two_ranks_write_one_network(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    out = tmp_path / "two.pt"
    command = (*SMALL, "--device", "cpu", "--out", out)
    ranks = [start(*command, RANK=str(rank), LOCAL_RANK=str(rank), **where) for rank in range(2)]
    texts = [rank.communicate(timeout=250)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], texts
    assert "validation classes" in texts[0]
    assert texts[1] == ""
    two = load_laat(out)
    assert run(*SMALL, "--device", "cpu", "--quiet", "--out", tmp_path / "one.pt") == 0
    one = load_laat(tmp_path / "one.pt")
    # normalisation sees each rank's part of a minibatch, so the weights are near, not equal
    assert two.about["losses"] == pytest.approx(one.about["losses"], rel=0.1)
    assert torch.equal(two.anchors, one.anchors)
