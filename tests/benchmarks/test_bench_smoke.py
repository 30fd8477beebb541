"""Every bench file runs at size tiny, and the report reads what it wrote."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import peak_memory

Row = dict[str, Any]
ROOT = Path(__file__).parents[2]
BENCH_FILES = sorted(path.name for path in (ROOT / "benchmarks").glob("bench_*.py"))


def run(*command: str) -> str:
    # A run of its own, not a worker of this one: pytest-benchmark does not time in workers.
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=own, check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


@pytest.mark.skipif(find_spec("pytest_benchmark") is None, reason="pytest-benchmark is missing")
@pytest.mark.skipif(
    find_spec("sklearn") is None, reason="scikit-learn (its photographs) is missing"
)
@pytest.mark.parametrize("name", BENCH_FILES)
def test_a_bench_file_runs_and_reports(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    options = ("--size", "tiny", "--benchmark-json", str(out), "-q", "-p", "no:cacheprovider")
    run(sys.executable, "-m", "pytest", f"benchmarks/{name}", *options, "--threads", "1", "2")
    results = json.loads(out.read_text())
    rows = [row for row in results["rows"] if row.get("kind") != "memory"]
    assert {row["threads"] for row in rows} == {1, 2}
    for row in rows:
        assert row["ours"]["median_ms"] > 0
        assert row["ours"]["value"] is not None
        assert name == "bench_dictionary.py" or row["product_ms"] > 0
    header = json.dumps(results["machine_info"]) + json.dumps(results["commit_info"])
    assert os.uname().nodename not in header
    table = run(sys.executable, "-m", "benchmarks.report", str(out))
    assert "1 and 2 of" in table
    if name == "bench_lasso.py":
        assert_grids_and_memory(rows, results["rows"], table)
    elif name == "bench_omp.py":
        assert table.count(" products, ") == len(rows)
        assert all(row["ours"]["value"] > 0.95 and row["move_ms"] > 0 for row in rows)
        assert_rules_are_kept_apart(rows, "spams.omp")
    elif name == "bench_dictionary.py":
        assert_all_learned_the_same(rows, table)
    else:
        assert table.count("| image ") == 1
        assert table.count("| 16x16x") == len(rows)
        assert all(row["coding_ms"] > 0 for row in rows)
        assert_rules_are_kept_apart(rows, "spams.omp + numpy")


def assert_all_learned_the_same(rows: list[Row], table: str) -> None:
    for row in rows:
        shown = {*row["notes"], *(peer["name"] for peer in row["peers"])}
        assert "sklearn.MiniBatchDictionaryLearning f64" in shown
        for each in (row["ours"], *row["peers"]):
            assert each["value"] <= row["target"] < row["start"]
            assert each["lowest"] >= row["target"] / 1.01
            assert [n_seen for n_seen, _, _ in each["curve"]] == sorted(
                n_seen for n_seen, _, _ in each["curve"]
            )
    assert table.count("| sparsedef |") == len(rows)


def assert_rules_are_kept_apart(rows: list[Row], name: str) -> None:
    for row in rows:
        shown = {*row["notes"], *(peer["name"] for peer in row["peers"] + row["across"])}
        assert name in shown
        own = {peer["name"] for peer in row["peers"]}
        assert not own & {peer["name"] for peer in row["across"]}
        assert (name in own) <= (row["selection"] == "ols")


def assert_grids_and_memory(rows: list[Row], all_rows: list[Row], table: str) -> None:
    for row in rows:
        assert row["ours"]["value"] <= 1e-5
        assert len(row["cosines"]) == 3
        assert row["ours"]["n_nonzero"] > 0
        assert "celer" in {*row["notes"], *(peer["name"] for peer in row["peers"])}
    assert table.count(" products |") == len(rows)
    memory = [row for row in all_rows if row.get("kind") == "memory"]
    assert {row["max_memory"] for row in memory} == {None, 2**27}
    for row in memory:
        assert row["value"] <= 1e-5
        assert row["output_bytes"] > 0
        assert row["peak_bytes"] is None or row["peak_bytes"] > 0
        assert row["problem"] in table


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no /proc")
def test_the_peak_of_a_call_counts_what_it_held_and_not_what_came_before() -> None:
    def grown(n_bytes: int) -> int:
        before = peak_memory.restart_peak()
        torch.ones(n_bytes, dtype=torch.uint8)
        after = peak_memory.peak_bytes()
        assert before is not None
        assert after is not None
        return after - before

    grown(2**28)
    assert 0.95 * 2**26 < grown(2**26) < 1.2 * 2**26
    assert grown(2**12) < 2**22


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is missing")
@pytest.mark.skipif(
    find_spec("sklearn") is None, reason="scikit-learn (its photographs) is missing"
)
def test_the_gpu_script_rehearses_without_a_gpu(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    script = "benchmarks/gpu.sh"
    run("bash", "-n", script)
    printed = run("env", f"PYTHON={sys.executable}", "bash", script, "--dry-run", str(out))
    assert "nvidia-smi" in printed
    results = json.loads(out.read_text())
    assert [step.split("\t")[0] for step in results["steps"]][:3] == [
        "machine",
        "versions",
        "build",
    ]
    timed = {row["name"] for row in results["rows"] if "median_ms" in row}
    assert {"reference", "reference.fista", "reference.fista, fixed steps"} <= timed
