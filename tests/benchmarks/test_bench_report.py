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


def results(*rows: Row) -> dict[str, object]:
    machine = {
        "processor": "CPU",
        "cores": 2,
        "threads": [1, 2],
        "device": "cpu",
        "versions": {"a": "1"},
    }
    return {
        "machine_info": machine,
        "commit_info": {"id": "0123456789abcdef", "dirty": False},
        "datetime": "2026-01-02T03:04:05",
        "rows": list(rows),
    }


def test_notes_and_machine_are_told() -> None:
    table = render(results(raced(1024, 10.0, notes={"absent": "its-package is not installed"})))
    assert "absent: its-package is not installed (concepts M512 N512 B1024)" in table
    assert "commit 0123456789ab, 2026-01-02" in table
    assert "1 and 2 of 2 cores for everybody" in table


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


def test_the_grid_has_ratio_times_and_products_by_threads() -> None:
    table = render(
        results(
            raced(1, 1.0, 6.0, 8.0),
            raced(1024, 10.0, 35.0, 70.0),
            raced(1024, 10.0, 5.0, nonnegative=True),
            raced(1024, 5.0, 20.0, threads=2),
        )
    )
    assert "| | B = 1 | B = 1,024 |" in table
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
    table = render(results(one, raced(64, 1.0, 9.0)))
    assert "35.0 peer0* / 10.0" in table
    assert "9.00 peer0 / 1.00" in table
    assert "| peer0 | 2 | 3.50 | 6.25 | 9.00 |" in table
    assert "| peer1 | 1 | 7.00 | 7.00 | 7.00 |" in table


def test_no_peer_at_all_is_said() -> None:
    assert "| no peer / 10.0; 5.00 products |" in render(results(raced(64, 10.0)))


def test_memory_is_told_against_the_product_and_the_bound() -> None:
    table = render(
        results(
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
    table = render(results(*rows))
    assert "- slow: left out (concepts M512 N512 B64,512,1024)" in table
    assert table.count("- rough:") == 2
    assert f"- rough: {gap.format('1.1e-05 to 2.5e-05')} (concepts M512 N512 B64,512)" in table
    assert f"- rough: {gap.format('4.0e-05')}, given up (concepts M512 N512 B1024)" in table


def pursued(selection: str, ours: float, *peers: float, batch: int = 64, **more: object) -> Row:
    """A pursuit's row; SPAMS, at 3 ms, is no peer of the OMP rule."""
    across = [row("spams.omp", 3.0)] if selection == "omp" else []
    return {
        **raced(batch, ours, *peers),
        "op": "omp",
        "problem": f"patches M64 N256 B{batch} K5 {selection}",
        "move_ms": 0.5,
        "ours": {**row("sparsedef", ours, "cpp"), "measure": "same support", "value": 0.9999},
        "across": across,
        **more,
    }


def test_pursuits_have_a_grid_by_threads_with_the_other_rule_marked() -> None:
    table = render(
        results(
            pursued("omp", 1.0, 20.0),
            pursued("ols", 1.0, 5.0),
            pursued("ols", 6.0, 3.0, batch=10_000),
            pursued("omp", 1.5, 9.0, threads=2),
        )
    )
    one, two = table.split("*patches, 2 threads*")
    assert "| | B = 64 | B = 10,000 |" in one
    assert (
        "| M = 64, N = 256, K = 5, omp | **20.0** = 20.0 peer0 / 1.00; ols: **3.0**;"
        " 0.50 products, 0.40 limits | - |" in one
    )
    assert "| M = 64, N = 256, K = 5, ols | **5.0** = 5.00 peer0 / 1.00; 0.50 products" in one
    assert "0.50 (slower) = 3.00 peer0 / 6.00; 3.00 products, 2.40 limits |" in one
    assert "**6.0** = 9.00 peer0 / 1.50; ols: **2.0**" in two
    assert "| peer0: patches, B <= 64 | 3 | 5.00 | 6.00 | 20.0 |" in two
    assert "| peer0: patches, B > 64 | 1 | 0.50 | 0.50 | 0.50 |" in two
    assert "| spams.omp, another rule (ols): patches, B <= 64 | 2 | 2.00 | 2.50 | 3.00 |" in two
    assert "At least 99.99 % of our supports are the float64 pursuit's" in two


def test_who_follows_another_rule_is_shown_at_its_best() -> None:
    """Slower on our line than on its own, after peers whose threads spin: no merit of ours."""
    own_line = pursued("ols", 1.0, peers=[row("spams.omp", 2.0)])
    others = pursued("ols", 1.0, threads=2, peers=[row("spams.omp", 0.5)])
    table = render(results(pursued("omp", 1.0, 20.0), own_line, others))
    assert "**20.0** = 20.0 peer0 / 1.00; ols: **2.0**" in table
    assert "| spams.omp, another rule (ols): patches, B <= 64 | 1 | 2.00 | 2.00 | 2.00 |" in table


def test_images_have_one_table_with_the_share_of_the_coding() -> None:
    image = {"op": "patches", "coding_ms": 4.0, "problem": "image 224x224x1 N256 K5 omp"}
    table = render(
        results(
            pursued("omp", 6.0, 60.0, threads=2, **image),
            pursued("omp", 10.0, 5.0, **image),
        )
    )
    assert (
        "| 224x224x1, N = 256, K = 5, omp | 1 | 10.0 | 2.50 | 0.50 (slower) = 5.00 peer0 / 10.0 |"
        " ols: 0.30 (slower) |\n"
        "| 224x224x1, N = 256, K = 5, omp | 2 | 6.00 | 1.50 | **10.0** = 60.0 peer0 / 6.00 |"
        " ols: 0.50 (slower) |" in table
    )


def learned(name: str, seconds: float, rounds: int = 3) -> Row:
    more = {"value": 12.194, "n_seen": 141_421, "lowest": 12.07, "rounds": rounds}
    return {**row(name, 1e3 * seconds), "measure": "held-out objective", **more}


def test_dictionaries_have_seconds_to_the_same_objective() -> None:
    one = {
        "problem": "patches M64 N256 B100000",
        "op": "dictionary",
        "n_signals": 100_000,
        "n_features": 64,
        "n_atoms": 256,
        "alpha": 1.2,
        "start": 14.4,
        "target": 12.195,
        "threads": 2,
        "ours": learned("sparsedef", 0.6),
        "peers": [learned("spams.trainDL", 3.0), learned("sklearn", 30.0, rounds=1)],
        "notes": {"slow": "not timed: held-out objective 12.30, not 12.20"},
    }
    table = render(results(one))
    assert "100,000 patches, M = 64, N = 256, alpha = 1.2, 2 threads: from 14.40 to 12.20" in table
    assert "| sparsedef | 0.60 |  | 141,421 | 12.19 | 12.07 |" in table
    assert "| spams.trainDL | 3.00 | **5.0** | 141,421 | 12.19 | 12.07 |" in table
    assert "| sklearn* | 30.0 | **50.0** | 141,421 | 12.19 | - |" in table
    assert "- slow: not timed: held-out objective 12.30, not 12.20 (patches M64 N256" in table


def test_the_table_lands_between_the_markers_and_nowhere_else(tmp_path: Path) -> None:
    data, readme = tmp_path / "r.json", tmp_path / "README.md"
    data.write_text(json.dumps(results(raced(64, 10.0, 35.0))))
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
