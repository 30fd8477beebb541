"""The tables say what the JSON says, losses included, and README holds the latest."""

import json
from pathlib import Path

import pytest

from benchmarks.report import BEGIN, END, insert, main, render

Row = dict[str, object]
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


def raced(batch: int, ours: float, *peers: float, threads: int = 1, **more: object) -> Row:
    """A LASSO row as it is written now."""
    sign = " z>=0" if more.get("nonnegative") else ""
    return {
        "problem": f"concepts M512 N512 B{batch}{sign}",
        "op": "lasso",
        "n_signals": batch,
        "n_features": 512,
        "n_atoms": 512,
        "alpha": 0.06,
        "nonnegative": False,
        "cosines": [0.351, 0.452, 0.543],
        "threads": threads,
        "product_ms": 2.0,
        "ours": row("sparsedef", ours, "cpp"),
        "peers": [row(f"peer{i}", median) for i, median in enumerate(peers)],
        "notes": {},
        **more,
    }


def remembered(max_memory: int | None, peak: int | None) -> Row:
    return {
        "kind": "memory",
        "op": "lasso",
        "problem": "concepts M512 N10000 B8192",
        "threads": 2,
        "max_memory": max_memory,
        "product_bytes": 400 * 2**20,
        "peak_bytes": peak,
        "output_bytes": 25 * 2**20,
        "note": "peak memory is read from /proc, which is not here",
    }


def with_rows(*rows: Row) -> dict[str, object]:
    made = results(10.0)
    machine = {**made["machine_info"], "threads": [1, 2]}  # type: ignore[dict-item]
    return {**made, "machine_info": machine, "rows": list(rows)}


def test_the_grid_has_ratio_times_and_products_by_threads() -> None:
    table = render(
        with_rows(
            raced(1, 1.0, 6.0, 8.0),
            raced(1024, 10.0, 35.0, 70.0),
            raced(1024, 10.0, 5.0, nonnegative=True),
            raced(1024, 5.0, 20.0, threads=2),
        )
    )
    assert "1 and 2 of 2 cores for everybody" in table
    assert "| | B = 1 | B = 1024 |" in table
    assert (
        "| N = 512 | **6.0** = 6.00 peer0 / 1.00; 0.50 products |"
        " **3.5** = 35.0 peer0 / 10.0; 5.00 products |" in table
    )
    assert "| N = 512, z >= 0 | - | 0.50 (slower) = 5.00 peer0 / 10.0; 5.00 products |" in table
    two = table.split("*concepts, M = 512, 2 threads*")[1]
    assert "| N = 512 | **4.0** = 20.0 peer0 / 5.00; 2.50 products |" in two
    assert "cosines of the raw atoms (p5/median/p95) 0.35/0.45/0.54" in table
    assert "28.0 to 28.0 nonzeros per signal" in table


def test_every_peer_has_its_line_and_a_single_call_its_mark() -> None:
    one = raced(1024, 10.0, 35.0, 70.0)
    one["peers"][0]["rounds"] = 1  # type: ignore[index]
    table = render(with_rows(one, raced(64, 1.0, 9.0)))
    assert "35.0 peer0* / 10.0" in table
    assert "9.00 peer0 / 1.00" in table
    assert "| peer0 | 2 | 3.50 | 6.25 | 9.00 |" in table
    assert "| peer1 | 1 | 7.00 | 7.00 | 7.00 |" in table


def test_no_peer_at_all_is_said() -> None:
    assert "| no peer / 10.0; 5.00 products |" in render(with_rows(raced(64, 10.0)))


def test_memory_is_told_against_the_product_and_the_bound() -> None:
    table = render(
        with_rows(
            raced(64, 1.0, 2.0),
            remembered(None, 300 * 2**20),
            remembered(2**27, 130 * 2**20),
            remembered(None, None),
        )
    )
    assert (
        "without `max_memory`: 300 MiB, 25.0 MiB of them the result; 0.75 times the 400 MiB of"
        " `x @ dictionary.T`" in table
    )
    assert "`max_memory` of 128 MiB: 130 MiB" in table
    assert "peak memory is read from /proc, which is not here" in table


def test_notes_of_many_rows_are_joined() -> None:
    gap = "not timed: p99 of the relative duality gap {}, not 1e-05"
    found = {64: gap.format("1.1e-05"), 512: gap.format("2.5e-05"), 1024: gap.format("4.0e-05")}
    found[1024] += ", given up after 7 s"
    rows = [
        raced(batch, 1.0, 2.0, threads=threads, notes={"slow": "left out", "rough": note})
        for threads in (1, 2)
        for batch, note in found.items()
    ]
    table = render(with_rows(*rows))
    assert "- slow: left out (concepts M512 N512 B64,512,1024)" in table
    assert table.count("- rough:") == 2
    assert f"- rough: {gap.format('1.1e-05 to 2.5e-05')} (concepts M512 N512 B64,512)" in table
    assert f"- rough: {gap.format('4.0e-05')}, given up (concepts M512 N512 B1024)" in table


def test_pursuits_of_several_thread_counts_get_a_table_each() -> None:
    rows = [
        {**raced(64, 1.0 * threads, 2.0, threads=threads), "op": "omp", "problem": "patches K5"}
        for threads in (1, 2)
    ]
    table = render(with_rows(*rows))
    one, two = table.split("(SPAMS: ols), 2 threads**")
    assert "(SPAMS: ols), 1 thread**" in one
    assert "| **2.0** |" in one
    assert "| **1.0** |" in two


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
