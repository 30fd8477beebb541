"""README's GPU table is generated: from the committed JSON, or it says that there is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu_probe import SHAPES, probe
from benchmarks.report_gpu import BEGIN, END, PENDING, main, render

ROOT = Path(__file__).parents[2]
README, RESULTS = ROOT / "README.md", ROOT / "benchmarks" / "results" / "gpu.json"


def make() -> dict[str, Any]:
    """A result file of one problem, made up."""
    return {
        "machine_info": {"device": "GPU X", "versions": {"torch": "9.9", "celer": None}},
        "commit_info": {"id": "0123456789abcdef"},
        "datetime": "2030-01-02T03:04:05",
        "steps": ["build\tstatus 0\t9 s", "racecheck\tstatus 9\t3 s\tno permission"],
        "rows": [
            {"problem": "machine", "name": "copy", "median_ms": 1.0, "gb_per_s": 3210.4},
            {"problem": "machine", "name": "product tf32", "median_ms": 1.0, "tflops": 400.0},
            {"problem": "p", "name": "limit", "median_ms": 2.0},
            {"problem": "p", "name": "cuda", "median_ms": 5.0},
            {"problem": "p", "name": "triton", "note": "wrong: of signal 3"},
            {"problem": "k", "kernel": "shrink", "name": "torch", "tflops": 30.0},
            {"problem": "k", "kernel": "shrink", "name": "Tile a", "tflops": 21.0},
            {"problem": "k", "kernel": "shrink", "name": "Tile b", "tflops": 25.0},
        ],
    }


def test_every_number_comes_from_the_rows() -> None:
    table = render(make())
    assert "GPU X; torch 9.9; commit 0123456789ab, 2030-01-02" in table
    assert "At best here: copy 3210 GB/s, product tf32 400.0 TFLOP/s." in table
    assert "| p | 2 | 5 (2.5 x) | - |" in table
    assert "| k | shrink | Tile b | 25 | 30 |" in table
    assert "- p, triton: wrong: of signal 3" in table
    assert "- step racecheck, status 9, 3 s, no permission" in table
    assert "step build" not in table


def test_a_rehearsal_on_a_cpu_is_no_figure(tmp_path: Path) -> None:
    rehearsed = make()
    rehearsed["machine_info"]["device"] = "cpu"
    assert render(rehearsed) == render(None) == PENDING
    readme = tmp_path / "README.md"
    readme.write_text(f"a\n{BEGIN}\nold\n{END}\nb\n")
    assert main([str(tmp_path / "none.json"), "--readme", str(readme)]) == 0
    assert PENDING in readme.read_text()
    assert "old" not in readme.read_text()


@pytest.mark.skipif(not README.is_file(), reason="README is in the repository only")
def test_the_readme_says_what_the_committed_results_say() -> None:
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else None
    between = README.read_text().split(BEGIN)[1].split(END)[0].strip()
    assert between == render(found).strip()


def test_the_probe_calls_every_op_on_every_shape_and_would_see_a_wrong_one() -> None:
    import torch

    found = dict(probe(torch.device("cpu"), "reference"))
    assert len(found) == len(SHAPES) * 2 * 2 * 3
    assert set(found.values()) == {0.0}, "the reference beside itself"
