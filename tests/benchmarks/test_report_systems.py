"""README's table of the four systems is generated from the committed JSON."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report_systems
from benchmarks.report_systems import BEGIN, END, SYSTEMS, System, render

ROOT = Path(__file__).parents[2]
README, RESULTS = ROOT / "README.md", ROOT / "benchmarks" / "results"


def row(defense: str, correct: str, *, kind: str = "worst case", **more: Any) -> dict[str, Any]:
    return {
        "task": "t, all", "defense": defense, "threat_model": kind, "norm": "linf",
        "strength": None if kind == "clean" else 0.1, "correct": correct, "n": len(correct),
        "accuracy": correct.count("1") / len(correct), **more,
    }  # fmt: skip


MADE = System("S", "d.md", "r", "t, all", "ours", "theirs", "a rival", "L-inf 0.1", strength=0.1)
ROWS = [
    row("ours", "1111", kind="clean"), row("ours", "1110"), row("ours", "0000", strength=0.2),
    row("ours", "0000", norm="l2"), row("ours", "0000", task="another"),
    row("theirs", "1101", kind="clean"), row("theirs", "1000"),
]  # fmt: skip


def test_a_line_has_the_rows_of_its_task_norm_and_strength() -> None:
    line = MADE.line(ROWS)
    assert line[:4] == ["[S](d.md)", "a rival", "4 of t", "L-inf 0.1"]
    assert line[4:6] == ["100, 75", "**75**, 25"]
    assert line[6].startswith("+50 [")


def test_a_row_that_is_not_there_is_no_zero() -> None:
    with pytest.raises(AssertionError, match="0 rows worst case of theirs"):
        MADE.line(ROWS[:-1])


def test_all_four_systems_are_in_it_with_a_document() -> None:
    assert {each.title for each in SYSTEMS} == {"RegionSparse", "SSD", "LAAT", "CARSO"}
    for each in SYSTEMS:
        assert (ROOT / each.document).is_file()


def test_it_is_written_between_the_markers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_systems, "SYSTEMS", (MADE,))
    (tmp_path / "r.json").write_text(json.dumps({"rows": ROWS}))
    readme = tmp_path / "README.md"
    readme.write_text(f"a\n{BEGIN}\nold\n{END}\nb\n")
    assert report_systems.main([str(tmp_path), "--readme", str(readme)]) == 0
    assert readme.read_text() == f"a\n{BEGIN}\n{render(tmp_path)}\n{END}\nb\n"
    assert "| 4 of t |" in readme.read_text()


@pytest.mark.skipif(not README.is_file(), reason="README is in the repository only")
def test_the_readme_says_what_the_committed_results_say() -> None:
    text = f"{BEGIN}\n{render(RESULTS)}\n{END}"
    assert text in README.read_text(), "run python -m benchmarks.report_systems"
