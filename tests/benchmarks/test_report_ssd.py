"""SSD's document is generated: what stands between its markers is what the committed JSON says."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report_ssd import BEGIN, END, main, render
from sparsedef.evaluation import Row, worst_cases

ROOT = Path(__file__).parents[2]
DOCUMENT, RESULTS = ROOT / "docs" / "ssd.md", ROOT / "benchmarks" / "results" / "ssd.json"
N = 20


def make() -> dict[str, Any]:
    """A result file of four classifiers, made up."""
    rows, tasks = [], {}
    for head in ("clean", "confounded"):
        task = f"shapeworld, {head} heads"
        tasks[task] = {"association": {"asked": 0.97, "share": 0.975, "cramers_v": 0.97}}
        for name, kept in (
            ("zero_shot", 18),
            ("linear_probe", 2),
            ("dense_concepts", 15),
            ("ssd", 12),
        ):
            clean = Row(task, name, "", "clean", "linf", 0.0, "1" * 19 + "0")
            ascent = Row(
                task, name, "ascent", "white-box", "semantic", 1.0, "1" * kept + "0" * (N - kept)
            )
            own = [clean, ascent]
            rows += [row.to_json() | {"flags": []} for row in (*own, *worst_cases(own))]
    condition = {
        "head": "confounded", "concepts": "rich", "per_class": 5, "surface": "one group", "draw": 0,
    }  # fmt: skip
    pair = {"condition": condition, "sparse_right": "1110", "dense_right": "1000"}
    search = pair | {
        "n_atoms": 405, "difference": 0.5, "ci_low": -0.1, "ci_high": 0.9, "verdict": "tie",
    }  # fmt: skip
    return {
        "rows": rows, "tasks": tasks, "flags": [], "versions": {"sparsedef": "0"},
        "settings": {"seed": 3},
        "sparsity": {
            "conditions": [search],
            "duels": [pair | {"ci_low": -0.1, "ci_high": 0.9, "repeats": [[0.1, -0.2, 0.3]]}],
        },
    }  # fmt: skip


def test_every_number_comes_from_the_rows() -> None:
    table = render(make())
    assert "| ssd | 95 [76 to 99] | - | - | 60 | 60 [39 to 78] |" in table
    assert "SSD keeps 60 % right, the dense head on the same concepts 75 %" in table
    line = "| rich | 405 | 5 a class | confounded | one group | 75 | 25 | +50 [-10 to +90] | tie |"
    assert line in table
    assert "confounded head; edits of one group): sparse 75, dense 25; difference +50 [" in table
    assert "with other labels: +10 [-20 to +30]." in table
    assert "Seed 3; sparsedef 0." in table
    changed = make()
    for row in changed["rows"]:
        if row["defense"] == "ssd" and row["attack"] == "ascent":
            row["correct"] = "1" * 6 + "0" * 14
    assert "| 30 | 30 [15 to 52] |" in render(changed)


def test_the_command_writes_between_the_markers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, document = tmp_path / "ssd.json", tmp_path / "ssd.md"
    results.write_text(json.dumps(make()))
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert main([str(results), "--document", str(document)]) == 0
    text = document.read_text()
    assert text == f"before\n{BEGIN}\n{render(make())}\n{END}\nafter\n"
    assert main([str(results)]) == 0
    assert render(make()) in capsys.readouterr().out


def test_the_committed_document_is_the_committed_results() -> None:
    table = DOCUMENT.read_text().split(BEGIN)[1].split(END)[0].strip()
    assert table == render(json.loads(RESULTS.read_text()))
