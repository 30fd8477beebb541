"""``sparsedef evaluate`` from a shell: one table whatever the processes, mistakes in one line."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sparsedef.commands import evaluate, train

pytest.importorskip("sklearn")
pytest.importorskip("PIL")
pytest.importorskip("jinja2")

ROOT = Path(__file__).parents[2]
OWN = ROOT / "tests/commands/own_defense.py"
TINY = (
    "--quick", "--images", "12", "--attacks", "fgsm", "--defenses", "bilateral",
    f"{OWN}:noisy", "--strengths", "16/255", "--batch-size", "4",
)  # fmt: skip


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    return evaluate.run(parser.parse_args(words))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluated")
    assert run(*TINY, "--out", str(out)) == 0
    return out


def rows(out: Path) -> list[dict]:  # type: ignore
    return json.loads((out / "results.json").read_text())["rows"]


def test_it_writes_rows_that_say_all(whole: Path) -> None:
    wanted = {
        "defense", "attack", "threat_model", "strength", "n", "accuracy", "ci_low", "ci_high",
        "flags",
    }  # fmt: skip
    for row in rows(whole):
        assert wanted <= row.keys()
        assert row["n"] == 12
    assert {row["defense"] for row in rows(whole)} == {"none", "bilateral", "noisy"}
    assert any(row["threat_model"] == "white-box, EOT" for row in rows(whole))
    results = json.loads((whole / "results.json").read_text())
    assert len(results["tasks"]["digits"]["sample_ids"]) == 12
    assert {"sparsedef", "torch", "sources"} <= results["versions"].keys()
    page = (whole / "report.html").read_text()
    assert "<svg" in page
    assert page.count("data:image/png") > 10


@pytest.mark.slow
def test_two_processes_give_the_table_of_one(whole: Path, tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0",
        "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0",
        "-m", "sparsedef", "evaluate", *TINY, "--out", str(tmp_path),
    ]  # fmt: skip
    env = {**own, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path) == rows(whole)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--defenses", "magic"], "defense must be one of"),
        (["--model", "nothing.py:build"], "nothing.py"),
        (["--defenses", "nothing.py:noisy"], "there is no file 'nothing.py'"),
        (["--defenses", f"{OWN}:absent"], "the file defines no function 'absent'"),
        (["--defenses", f"{OWN}:broken"], "failed: KeyError: 'no such key'"),
        (["--dataset", "cifar10"], "root"),
        (["--also", "hardened"], "--also must be NAME=SPEC"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*TINY, *words, "--out", str(tmp_path)) == 1
    error = capsys.readouterr().err
    assert error.startswith("sparsedef evaluate: ")
    assert message in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.slow
def test_what_train_wrote_is_a_model_of_evaluate(tmp_path: Path) -> None:
    trained = tmp_path / "hardened.pt"
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    words = ["fgsm-at", "--epochs", "1", "--out", str(trained), "--quiet", "--threads", "1"]
    assert train.run(parser.parse_args(words)) == 0
    out = str(tmp_path / "out")
    assert run(*TINY, "--model", str(trained), "--also", f"again={trained}", "--out", out) == 0
    found = {(r["defense"], r["threat_model"]): r["correct"] for r in rows(tmp_path / "out")}
    assert found["again", "clean"] == found["none", "clean"], "they are one classifier"
    assert ("again", "white-box") in found
    assert run(*TINY, "--model", str(tmp_path / "gone.pt"), "--out", out) == 1
