"""The demo runs whole, continues where it was stopped, and leaves no broken file."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsedef import demo
from sparsedef.defenses import regionsparse
from sparsedef.demo import driver, plan
from sparsedef.evaluation import AttackPlan, Plan, runner
from sparsedef.evaluation.rows import UNBOUNDED

pytest.importorskip("sklearn")
pytest.importorskip("PIL")
pytest.importorskip("jinja2")

ATTACKS = (
    AttackPlan("fgsm", (8 / 255, 0.2)),
    AttackPlan(
        "bim", (8 / 255, 0.2), options={"loss": "margin", "steps": 3},
        from_gray_box=True, stand_ins="identity",
    ),
    AttackPlan("mi_fgsm", (8 / 255, 0.2), options={"steps": 2}),
    AttackPlan(
        "cw_l2", (0.1, 0.4), "l2",
        {"steps": 4, "rounds": 1, "learning_rate": 0.2, "first_weight": 10.0}, from_gray_box=True,
    ),
    AttackPlan("pgd", (1.0,), options={"steps": 4}, check=UNBOUNDED),
)  # fmt: skip
TINY = plan.DemoPlan(
    seed=0,
    tasks=("digits",),
    n_samples=12,
    epochs={"digits": 2, "photographs": 1},
    attacks=Plan(ATTACKS, n_pictures=6),
)


def make_tiny(patch: pytest.MonkeyPatch) -> None:
    """Makes the quick demo tiny: weak attacks, and a dictionary that is drawn, not learnt."""
    patch.setattr(driver, "quick_plan", lambda seed, tasks: replace(
        TINY, seed=seed, tasks=tasks, attacks=replace(TINY.attacks, seed=seed)))  # fmt: skip
    patch.setattr(regionsparse, "learn_patch_dictionary", lambda signals, n_atoms, **_: (
        torch.nn.functional.normalize(signals[:n_atoms], dim=1)))  # fmt: skip


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny(monkeypatch)


def read(out: Path) -> dict[str, Any]:
    return json.loads((out / "results.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed, of both tasks."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        make_tiny(patch)
        state = torch.get_rng_state()
        demo.run(out, quick=True, is_silent=True)
        assert torch.equal(torch.get_rng_state(), state), "the caller's random state was changed"
    return out


def test_rows_are_complete_and_labelled(finished: Path) -> None:
    results = read(finished)
    rows = results["rows"]
    for task in ("digits", "photographs"):
        here = [row for row in rows if row["task"] == task]
        assert {row["threat_model"] for row in here} == {
            "clean", "undefended", "gray-box", "white-box", "worst case",
            "white-box, from gray-box images", "BPDA, identity",
        }  # fmt: skip
        assert {row["attack"] for row in here} == {
            "", "fgsm", "bim-margin", "mi_fgsm", "cw_l2", "pgd"
        }  # fmt: skip
        assert all(len(row["correct"]) == row["n"] == 12 for row in here)
        assert all(row["ci_low"] <= row["accuracy"] <= row["ci_high"] for row in here)
        assert len(results["tasks"][task]["sample_ids"]) == 12
        sanity = [row for row in here if row["check"]]
        assert {row["strength"] for row in sanity} == {1.0}
        assert results["tasks"][task]["plan"]["seed"] == 0
        assert results["tasks"][task]["reading"].keys() == {"bilateral", "regionsparse"}
    for row in rows:
        assert {"defense", "attack", "threat_model", "strength", "n", "accuracy", "ci_low",
                "ci_high", "flags"} <= row.keys()  # fmt: skip
    assert results["settings"]["seed"] == 0
    assert {"torch", "sparsedef", "sources", "omp backend"} <= results["versions"].keys()


def test_the_report_is_one_file_with_pictures(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert page.count("data:image/png") > 60
    assert page.count("<svg") == 32  # per task two overviews; per defense seven
    assert "http" not in page.split("</style>")[1].replace("http-equiv", "")
    assert {path.name for path in finished.iterdir()} == {"cache", "report.html", "results.json"}


def test_a_second_run_computes_nothing_and_says_the_same(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (finished / "results.json").read_bytes()

    def forbidden(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(runner._Batch, "_run", forbidden)
    monkeypatch.setattr(runner._Batch, "_clean", forbidden)
    demo.run(finished, quick=True, is_silent=True)
    assert (finished / "results.json").read_bytes() == before


def test_an_interrupted_run_continues_to_the_same_rows(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    real, ran = runner._Batch._run, []

    def stopping(self: Any, job: Any) -> dict[str, Any]:
        if len(ran) == 9:
            raise KeyboardInterrupt
        ran.append((job.title, job.strengths))
        return real(self, job)

    monkeypatch.setattr(runner._Batch, "_run", stopping)
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    args = parser.parse_args(["--out", str(tmp_path), "--quick", "--tasks", "digits"])
    assert demo.main(args) == 130
    assert "same command continues" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    first = list(ran)
    ran.clear()
    ran.extend([None] * 10)
    assert demo.main(args) == 0
    assert not set(first) & set(ran), "a finished job was run again"
    assert "white-box" in capsys.readouterr().out
    whole = [row for row in read(finished)["rows"] if row["task"] == "digits"]
    assert read(tmp_path)["rows"] == whole


def test_another_seed_or_setting_is_another_result(finished: Path, tmp_path: Path) -> None:
    demo.run(tmp_path, quick=True, seed=1, tasks=["digits"], is_silent=True)
    ids = read(tmp_path)["tasks"]["digits"]["sample_ids"]
    assert ids != read(finished)["tasks"]["digits"]["sample_ids"]


def test_threads_are_given_back_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen = torch.get_num_threads(), []

    def stopped(*_: object, **__: object) -> None:
        seen.append(torch.get_num_threads())
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "drive", stopped)
    with pytest.raises(KeyboardInterrupt):
        demo.run(tmp_path, threads=before + 1)
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ["cifar"]}, "tasks must be some of"),
        ({"tasks": []}, "tasks must be some of"),
        ({"seed": -1}, "seed must be >= 0, got -1"),
        ({"threads": 0}, "threads must be >= 1, got 0"),
    ],
)
def test_bad_settings_are_named(tmp_path: Path, options: dict, message: str) -> None:  # type: ignore
    with pytest.raises(ValueError, match=message):
        demo.run(tmp_path, **options)


def test_what_is_missing_is_named_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(driver.NEEDED, "no_such_module", "no-such-package")
    with pytest.raises(ImportError, match="pip install no-such-package"):
        demo.run(tmp_path, quick=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_a_killed_process_leaves_only_whole_files(tmp_path: Path) -> None:
    """Ctrl-C as the shell sends it, in the middle of the real quick demo."""
    command = [sys.executable, "-m", "sparsedef", "demo", "--quick", "--tasks", "digits"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    cache, deadline = tmp_path / "cache", time.monotonic() + 120
    while time.monotonic() < deadline and len(list(cache.glob("attack-*.pt"))) < 2:
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error.decode()
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    for path in cache.iterdir():
        assert path.suffix == ".pt"
        torch.load(path, weights_only=True)
