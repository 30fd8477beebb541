"""A killed ``sparsedef encode`` goes on to the bytes of one that was not, alone or on ranks."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_data import ROOT, Data, contents, kill_when, start, start_ranks

from sparsedef import cli
from sparsedef.streams import read_codes


def shards(out: Path) -> list[str]:
    return sorted(path.name for path in out.glob("codes-*"))


@pytest.fixture
def long(tmp_path: Path) -> Data:
    """Enough work for many shards, so that a kill after the first one is in the middle."""
    folder = tmp_path / "data"
    folder.mkdir()
    return Data(folder, n_signals=7000, n_atoms=256)


def test_killed_and_started_again_gives_the_same_bytes(long: Data, tmp_path: Path) -> None:
    options = ("--target-l0", "6", "--quiet")
    out, whole = tmp_path / "killed", tmp_path / "whole"
    process = start(long.encode(out, *options))
    kill_when(lambda: bool(shards(out)), process)
    assert process.returncode == -signal.SIGKILL
    kept = {name: (out / name).stat().st_mtime_ns for name in shards(out)}
    assert 1 <= len(kept) < 73
    assert not (out / "manifest.json").exists()
    with pytest.raises(ValueError, match="no sparsedef encode was completed there"):
        read_codes(out)

    assert cli.main(long.encode(out, *options)) == 0
    assert cli.main(long.encode(whole, *options)) == 0
    assert contents(out) == contents(whole)
    assert len(shards(out)) == 73
    # What was finished was not written again.
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == kept


def test_an_interrupt_says_that_the_same_command_goes_on(long: Data, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(long.encode(out, "--target-l0", "6"))
    while not shards(out) and process.poll() is None:
        pass
    os.kill(process.pid, signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert "the same command goes on" in text
    assert "Traceback" not in text
    assert "signals" in text  # the bar
    assert 1 <= len(shards(out)) < 73


def test_a_finished_shard_is_not_redone_and_a_lost_one_is(data: Data, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli.main(data.encode(out)) == 0
    before = contents(out)
    times = {name: (out / name).stat().st_mtime_ns for name in shards(out)}
    (out / "codes-000004.safetensors").unlink()
    (out / ".codes-000004.safetensors.1.tmp").write_text("half of it")
    with pytest.raises(ValueError, match=r"000004.safetensors is gone"):
        read_codes(out)[400:]
    assert cli.main(data.encode(out)) == 0
    assert contents(out) == before
    redone = [name for name in times if (out / name).stat().st_mtime_ns != times[name]]
    assert redone == ["codes-000004.safetensors"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--alpha", "0.2"), "coding alpha was 0.1, is 0.2"),
        (("--n-nonzero", "3"), "coding alpha was 0.1, is None; coding n_nonzero was None, is 3"),
        (("--alpha", "0.1", "--residual-norm"), "residual_norm was False, is True"),
        (("--alpha", "0.1", "--dtype", "float64"), "dtype was float32, is float64"),
    ],
)
def test_other_settings_are_refused(
    options: tuple[str, ...], message: str, data: Data, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "out"
    assert cli.main(data.encode(out)) == 0
    before = contents(out)
    assert cli.main(data.encode(out, *options)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Give another --out, or the settings of before, or delete" in error
    assert contents(out) == before


def test_other_inputs_are_refused(
    data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main(data.encode(out)) == 0
    changed = data.x[333:].copy()
    changed[100, 3] += 1
    np.save(data.inputs[1], changed)
    assert cli.main(data.encode(out)) == 2
    assert "input 2 digest was" in capsys.readouterr().err
    data.inputs.pop()
    assert cli.main(data.encode(out)) == 2
    assert "1 input in place of 2" in capsys.readouterr().err
    data.inputs = [data.folder / "a.npy", data.folder / "b.npy"]
    np.save(data.inputs[1], data.x[333:])
    np.save(data.folder / "d.npy", data.dictionary[::-1])
    assert cli.main(data.encode(out)) == 2
    assert "dictionary digest was" in capsys.readouterr().err


def test_inputs_may_move(data: Data, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli.main(data.encode(out)) == 0
    data.folder.rename(tmp_path / "elsewhere")
    data.folder = tmp_path / "elsewhere"
    data.inputs = [data.folder / "a.npy", data.folder / "b.npy"]
    assert cli.main(data.encode(out)) == 0


def test_codes_of_unknown_origin_and_damaged_ones_are_refused(
    data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main(data.encode(out)) == 0
    (out / "codes-000002.safetensors").write_bytes(b"damaged")
    assert cli.main(data.encode(out)) == 2
    assert "000002.safetensors is damaged: delete it" in capsys.readouterr().err
    (out / "plan.json").unlink()
    assert cli.main(data.encode(out)) == 2
    assert "holds codes that nothing tells about" in capsys.readouterr().err


def test_two_ranks_give_the_bytes_of_one(data: Data, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert cli.main(data.encode(one)) == 0
    ranks = start_ranks(data.encode(two))
    texts = [rank.communicate(timeout=120)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], texts
    assert contents(one) == contents(two)
    assert "1000 signals over 48 atoms" in texts[0]
    assert "rank 0 of 2" in texts[0]
    assert texts[1] == ""


@pytest.mark.slow
def test_a_rank_that_fails_ends_all(data: Data, tmp_path: Path) -> None:
    command = data.encode(tmp_path / "out", "--alpha", "-1")
    ranks = start_ranks(command)
    texts = [rank.communicate(timeout=120)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [2, 2], texts
    assert "sparsedef encode (rank 1): lasso: alpha must be finite and >= 0" in texts[1]


@pytest.mark.slow
def test_ranks_that_disagree_or_do_not_share_a_folder_are_told(data: Data, tmp_path: Path) -> None:
    for other, message in [
        (data.encode(tmp_path / "a", "--alpha", "0.2"), "coding alpha was 0.1, is 0.2. All ranks"),
        (data.encode(tmp_path / "b"), "must be on a file system that all machines share"),
    ]:
        ranks = start_ranks(data.encode(tmp_path / "a"), other)
        texts = [rank.communicate(timeout=120)[0] for rank in ranks]
        assert [rank.returncode for rank in ranks] == [2, 2], texts
        assert all(message in text for text in texts)
        assert shards(tmp_path / "a") == []


@pytest.mark.slow
def test_a_rank_that_is_killed_is_noticed_and_its_work_made_up(long: Data, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    options = ("--target-l0", "6", "--quiet")
    ranks = start_ranks(long.encode(out, *options))
    kill_when(lambda: "codes-000001.safetensors" in shards(out), ranks[1])
    text, _ = ranks[0].communicate(timeout=120)
    assert ranks[0].returncode == 1
    assert "rank 0 lost another rank" in text
    assert "Traceback" not in text
    assert len(shards(out)) < 73
    assert cli.main(long.encode(out, *options)) == 0  # one rank goes on where two were
    assert cli.main(long.encode(whole, *options)) == 0
    assert contents(out) == contents(whole)


@pytest.mark.slow
def test_torchrun_runs_it(data: Data, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert cli.main(data.encode(one, "--alpha", "0.1", "--quiet")) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*torchrun, "--master-port=0", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0",
         "-m", "sparsedef", *data.encode(two)],
        env={**own, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert contents(one) == contents(two)
    manifest = json.loads((two / "manifest.json").read_text())
    assert manifest["status"]["CONVERGED"] == 1000
