"""The tables say what the JSON says, losses included, and README holds the latest."""

import json
from pathlib import Path

import pytest

from benchmarks.report import BEGIN, END, insert, main, render

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "cpu.json"
README = ROOT / "README.md"


def row(name: str, median: float, backend: str | None = None) -> dict[str, object]:
    times = {"median_ms": median, "q1_ms": 0.9 * median, "q3_ms": 1.2 * median}
    quality = {"measure": "p99 gap", "value": 4e-7, "n_nonzero": 28.0}
    return {"name": name, "setting": None, "backend": backend, "rounds": 5, **times, **quality}


def results(ours: float, *peers: float) -> dict[str, object]:
    machine = {
        "processor": "CPU",
        "cores": 2,
        "threads": 2,
        "device": "cpu",
        "versions": {"a": "1"},
    }
    race = {
        "problem": "concepts M512 N512 B1024",
        "op": "lasso",
        "ours": row("sparsedef", ours, "cpp"),
        "peers": [row(f"peer{i}", median) for i, median in enumerate(peers)],
        "notes": {"absent": "its-package is not installed"},
    }
    return {
        "machine_info": machine,
        "commit_info": {"id": "0123456789abcdef", "dirty": False},
        "datetime": "2026-01-02T03:04:05",
        "rows": [race],
    }


def test_a_gain_shows_its_ratio_to_the_fastest_peer() -> None:
    table = render(results(10.0, 35.0, 70.0))
    assert "| **3.5** |" in table
    assert "10.0 [9.00 to 12.0] (cpp)" in table
    assert "peer0 35.0 [31.5 to 42.0]" in table
    assert "peer1 70.0" in table
    assert "4e-07 / 4e-07" in table


def test_a_loss_is_published() -> None:
    assert "| 0.50 (slower) |" in render(results(10.0, 5.0))


def test_notes_and_machine_are_told() -> None:
    table = render(results(10.0))
    assert "absent: its-package is not installed (concepts M512 N512 B1024)" in table
    assert "commit 0123456789ab, 2026-01-02" in table


def test_the_table_lands_between_the_markers_and_nowhere_else(tmp_path: Path) -> None:
    data, readme = tmp_path / "r.json", tmp_path / "README.md"
    data.write_text(json.dumps(results(10.0, 35.0)))
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    arguments = [str(data), "--readme", str(readme)]
    assert main([*arguments, "--check"]) == 1
    assert main(arguments) == 0
    assert main([*arguments, "--check"]) == 0
    text = readme.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text


def test_a_document_without_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match="must hold"):
        insert("no markers", "table")


def test_the_readme_holds_what_the_committed_results_say() -> None:
    if not RESULTS.exists():
        pytest.skip("no benchmarks/results/cpu.json in this checkout")
    table = render(json.loads(RESULTS.read_text()))
    assert f"{BEGIN}\n{table}\n{END}" in README.read_text(), "run python -m benchmarks.report"


def test_the_readme_holds_what_the_committed_demo_says() -> None:
    from benchmarks import report_demo

    results = json.loads((RESULTS.parent / "demo.json").read_text())
    table = report_demo.render(results)
    assert f"{report_demo.BEGIN}\n{table}\n{report_demo.END}" in README.read_text()
