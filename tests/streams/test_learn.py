"""``sparsedef learn``: a dictionary from files, the same stopped or not, alone or on ranks."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_data import ROOT, Data, contents, kill_when, start, start_ranks

import sparsedef
from sparsedef import cli
from sparsedef.streams import learn


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A dictionary's file in an empty folder."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "d.npy"


def objective(x: np.ndarray, atoms: np.ndarray) -> float:
    x, d = torch.from_numpy(x), torch.from_numpy(atoms)
    code = sparsedef.lasso(x, d, 0.1)
    return float((code.residual.square().sum(1) / 2 + 0.1 * code.codes.abs().sum(1)).mean())


def test_it_learns_unit_atoms_that_serve_better_than_signals(data: Data, out: Path) -> None:
    sparse = np.random.default_rng(0)
    codes = sparse.standard_normal((1000, 48)) * (sparse.random((1000, 48)) < 0.06)
    x = (codes @ data.dictionary).astype(np.float32)
    np.save(data.inputs[0], x[:333])
    np.save(data.inputs[1], x[333:])
    assert cli.main(data.learn(out, "--n-epochs", "8", "--quiet")) == 0
    atoms = np.load(out)
    assert atoms.shape == (32, 24)
    assert atoms.dtype == np.float32
    assert np.linalg.norm(atoms, axis=1).max() <= 1 + 1e-5
    some = x[np.abs(x).sum(axis=1) > 0][:32]
    some = some / np.linalg.norm(some, axis=1, keepdims=True)
    assert objective(x, atoms) < 0.9 * objective(x, some)
    about = json.loads(out.with_name("d.npy.json").read_text())
    assert about["n_seen"] == 8000
    curve = [mean for _, mean in about["objective"]]
    assert len(curve) == 8 * 15
    assert np.mean(curve[-15:]) < 0.9 * np.mean(curve[:15])  # the last epoch and the first
    assert sorted(contents(out.parent)) == ["d.npy", "d.npy.json"]


def test_the_dictionary_is_what_encode_takes(data: Data, out: Path, tmp_path: Path) -> None:
    atoms = out.with_suffix(".safetensors")
    assert cli.main(data.learn(atoms, "--n-nonzero", "4", "--dtype", "float64")) == 0
    command = data.encode(tmp_path / "codes", "--n-nonzero", "4", "--quiet")
    command[command.index("--dictionary") + 1] = str(atoms)
    assert cli.main(command) == 0
    plan = json.loads((tmp_path / "codes" / "plan.json").read_text())
    assert plan["dictionary"]["shape"] == [32, 24]
    assert plan["dtype"] == "float64"


def test_signs_and_unit_signals_are_as_asked(data: Data, out: Path) -> None:
    options = ("--nonnegative-atoms", "--nonnegative-codes", "--quiet", "--unit-signals")
    assert cli.main(data.learn(out, *options)) == 0
    one = np.load(out)
    assert one.min() >= 0
    np.save(data.inputs[0], 8 * data.x[:333])  # powers of two: norms are exact
    np.save(data.inputs[1], data.x[333:] / 4)
    scaled = out.with_name("scaled.npy")
    assert cli.main(data.learn(scaled, *options)) == 0
    # x and 8 x are brought to the same unit signal, to the last bits of a norm.
    np.testing.assert_allclose(np.load(scaled), one, atol=1e-4)


def test_signals_that_are_not_finite_are_left_out_and_counted(
    data: Data, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data.x[[4, 400]] = np.nan
    np.save(data.inputs[0], data.x[:333])
    np.save(data.inputs[1], data.x[333:])
    assert cli.main(data.learn(out, "--n-epochs", "2")) == 0
    assert "from 1996 signals (4 with NaN or infinity left out)" in capsys.readouterr().out
    assert np.isfinite(np.load(out)).all()
    np.save(data.inputs[0], data.x[4:5])
    data.inputs.pop()
    assert cli.main(data.learn(out.with_name("none.npy"))) == 2
    assert "there was nothing to learn from" in capsys.readouterr().err


def test_killed_and_started_again_gives_the_same_bytes(data: Data, out: Path) -> None:
    options = ("--n-epochs", "12", "--checkpoint-every", "0", "--quiet")
    checkpoint = out.with_name("d.npy.checkpoint")
    process = start(data.learn(out, *options))
    kill_when(checkpoint.exists, process)
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    step = torch.load(checkpoint, weights_only=True)["step"]
    assert 1 <= step < 12 * 15
    with pytest.raises(ValueError, match="n_epochs was 12, is 13"):
        learn(data.inputs, out, 32, alpha=0.1, n_epochs=13, batch_size=64, block_rows=8)

    whole = out.parent.parent / "whole"
    whole.mkdir()
    assert cli.main(data.learn(out, *options)) == 0
    assert cli.main(data.learn(whole / "d.npy", *options)) == 0
    assert contents(out.parent) == contents(whole)
    assert sorted(contents(whole)) == ["d.npy", "d.npy.json"]


def test_when_checkpoints_are_written_changes_nothing(data: Data, out: Path) -> None:
    files = [out.with_name("often.npy"), out.with_name("never.npy")]
    for path, every in zip(files, ("0", "1e9"), strict=True):
        assert cli.main(data.learn(path, "--checkpoint-every", every, "--quiet")) == 0
    assert files[0].read_bytes() == files[1].read_bytes()


def test_done_is_done_and_other_settings_are_refused(
    data: Data, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(data.learn(out)) == 0
    before, made = contents(out.parent), out.stat().st_mtime_ns
    assert cli.main(data.learn(out)) == 0
    assert contents(out.parent) == before
    assert out.stat().st_mtime_ns == made
    capsys.readouterr()
    assert cli.main(data.learn(out, "--seed", "5")) == 2
    assert "seed was 0, is 5. Give another --out, or" in capsys.readouterr().err
    assert contents(out.parent) == before
    out.with_name("d.npy.json").unlink()
    assert cli.main(data.learn(out)) == 2
    assert "nothing tells how it was made" in capsys.readouterr().err


def test_two_ranks_give_the_dictionary_of_one_to_rounding(data: Data, out: Path) -> None:
    two = out.with_name("two.npy")
    options = ("--dtype", "float64", "--n-epochs", "3")
    assert cli.main(data.learn(out, *options, "--quiet")) == 0
    ranks = start_ranks(data.learn(two, *options))
    texts = [rank.communicate(timeout=120)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], texts
    # Sums of 64 products in another order, through 45 updates; codes are certified to 1e-10.
    np.testing.assert_allclose(np.load(two), np.load(out), atol=1e-7)
    assert "objective" in texts[0]
    assert texts[1] == ""


@pytest.mark.slow
def test_two_ranks_killed_and_started_again_give_the_bytes_of_two(data: Data, out: Path) -> None:
    options = ("--n-epochs", "12", "--checkpoint-every", "0", "--quiet")
    checkpoint = out.with_name("d.npy.checkpoint")
    ranks = start_ranks(data.learn(out, *options))
    kill_when(checkpoint.exists, ranks[0])
    text, _ = ranks[1].communicate(timeout=60)
    assert ranks[1].returncode == 1
    assert "rank 1 lost another rank" in text
    assert checkpoint.exists()
    assert not out.exists()
    whole = out.parent.parent / "whole"
    whole.mkdir()
    for path in (out, whole / "d.npy"):
        again = start_ranks(data.learn(path, *options))
        texts = [rank.communicate(timeout=200)[0] for rank in again]
        assert [rank.returncode for rank in again] == [0, 0], texts
    assert contents(out.parent) == contents(whole)


@pytest.mark.slow
def test_torchrun_runs_it(data: Data, out: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*torchrun, "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0",
         "-m", "sparsedef", *data.learn(out, "--dtype", "float64")],
        env={**own, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    one = out.with_name("one.npy")
    assert cli.main(data.learn(one, "--dtype", "float64", "--quiet")) == 0
    np.testing.assert_allclose(np.load(out), np.load(one), atol=1e-7)


MISTAKES = {
    "neither": ({"alpha": None}, "one of alpha .LASSO. and n_nonzero .OMP. must be given"),
    "both": ({"n_nonzero": 3}, "got both"),
    "alpha": ({"alpha": -1.0}, "alpha must be finite and > 0, got -1"),
    "suffix": ({"out": "d.txt"}, "--out must end in .npy or .safetensors"),
    "folder": ({"out": "no/such/d.npy"}, "--out must be in a folder that is there"),
    "seed": ({"seed": -1}, "seed must be at least 0, got -1"),
    "forgetting": ({"forgetting": -1.0}, "forgetting must be finite and >= 0"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_wrong_setting_is_told_before_any_work(name: str, data: Data, out: Path) -> None:
    changes, message = MISTAKES[name]
    settings = {"out": out, "n_atoms": 8, "alpha": 0.1, "is_silent": True, **changes}
    with pytest.raises(ValueError, match=message):
        learn(data.inputs, **settings)
    assert contents(out.parent) == {}
