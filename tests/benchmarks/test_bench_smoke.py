"""Every bench file runs at size tiny, and the report reads what it wrote."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

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
    run(sys.executable, "-m", "pytest", f"benchmarks/{name}", *options)
    results = json.loads(out.read_text())
    assert results["rows"]
    for row in results["rows"]:
        assert row["ours"]["median_ms"] > 0
        assert row["ours"]["value"] is not None
    header = json.dumps(results["machine_info"]) + json.dumps(results["commit_info"])
    assert os.uname().nodename not in header
    table = run(sys.executable, "-m", "benchmarks.report", str(out))
    assert table.count("| sparsedef |") == 1
    assert all(row["problem"] in table for row in results["rows"])


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
    assert {"reference", "reference.fista"} <= timed
