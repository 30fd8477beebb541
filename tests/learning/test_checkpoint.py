"""A run that was killed ends with the bytes of one that was not."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from sparsedef.learning import KSVD, OnlineLearner
from tests.learning.planted import planted

ROOT = Path(__file__).parents[2]
# Kills itself without a word after some checkpoints, as often as it is asked to.
RUN = textwrap.dedent("""
    import os, signal, sys
    import torch
    torch.set_num_threads(1)
    from sparsedef.learning import checkpoint
    from tests.learning.planted import planted
    from tests.learning.test_checkpoint import fit

    left, write = int(sys.argv[3]), checkpoint.write

    def write_and_die(path, state):
        global left
        write(path, state)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.write = write_and_die
    fit(sys.argv[1], sys.argv[2])
""")


def fit(kind: str, path: str) -> None:
    """Learns something with a checkpoint after every step."""
    x, _ = planted(400, dtype=torch.float32)
    if kind == "ksvd":
        KSVD(30, 3, n_iter=8).fit(x, checkpoint=path)
        return
    how = {"n_nonzero": 3} if kind == "omp" else {"alpha": 0.15}
    learner = OnlineLearner(30, coder=kind, batch_size=64, n_epochs=3, **how)
    learner.fit(x, checkpoint=path, checkpoint_every=0.0)


@pytest.mark.parametrize(
    "kind",
    ["lasso", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("omp", "ksvd"))],
)
def test_a_killed_run_ends_with_identical_bytes(kind: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    fit(kind, str(whole))
    for kills_after, status in ((4, -9), (1000, 0)):
        command = [sys.executable, "-c", RUN, kind, str(killed), str(kills_after)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        assert (killed.read_bytes() == whole.read_bytes()) == (status == 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]


@pytest.mark.parametrize(
    "learner", [OnlineLearner(12, alpha=0.15, batch_size=50, n_epochs=2), KSVD(12, 3, n_iter=2)]
)
def test_a_saved_learner_comes_back_whole(learner: OnlineLearner | KSVD, tmp_path: Path) -> None:
    x, _ = planted(200)
    learner.fit(x)
    learner.save(tmp_path / "a")
    back = type(learner).load(tmp_path / "a")
    back.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert torch.equal(back.dictionary, learner.dictionary)
    assert back.objective == learner.objective
    assert back.settings == learner.settings
    assert torch.equal(back.encode(x).residual, learner.encode(x).residual)


def test_a_learner_that_comes_back_goes_on_as_if_it_had_stayed(tmp_path: Path) -> None:
    x, _ = planted(300)
    learner = OnlineLearner(12, alpha=0.15).partial_fit(x[:100])
    back = OnlineLearner(12, alpha=0.15)
    back.load_state_dict(learner.state_dict())
    for part in x[100:].split(100):
        assert torch.equal(back.partial_fit(part).dictionary, learner.partial_fit(part).dictionary)


def test_a_finished_run_is_not_run_again_but_for_more_epochs(tmp_path: Path) -> None:
    x, _ = planted(200)
    path = tmp_path / "learner"
    settings = {"alpha": 0.15, "batch_size": 50}
    first = OnlineLearner(12, n_epochs=2, **settings).fit(x, checkpoint=path)
    again = OnlineLearner(12, n_epochs=2, **settings).fit(x, checkpoint=path)
    assert torch.equal(again.dictionary, first.dictionary)
    assert len(again.objective) == 8
    longer = OnlineLearner(12, n_epochs=3, **settings).fit(x, checkpoint=path)
    straight = OnlineLearner(12, n_epochs=3, **settings).fit(x)
    assert torch.equal(longer.dictionary, straight.dictionary)


def test_a_bar_shows_the_objective_and_is_imported_only_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, _ = planted(200)
    learner = OnlineLearner(12, alpha=0.15, batch_size=50, n_epochs=2)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "tqdm.auto", None)  # importing it fails
        learner.fit(x)
        with pytest.raises(ImportError):
            learner.fit(x, progress=True)
    learner.fit(x, progress=True)
    shown = capsys.readouterr().err
    assert "8/8" in shown
    assert "objective=" in shown
