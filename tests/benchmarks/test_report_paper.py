"""The tables in papers' documents are those of the committed JSON."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report_paper import main, markers, render

ROOT = Path(__file__).parents[2]
RESULTS = {
    "regionsparse": ("regionsparse-table2", "regionsparse-figure4"),
    "laat": ("laat",),
    "carso": ("carso-digits", "carso-shapeworld"),
}

MADE: dict[str, Any] = {
    "title": "a title",
    "settings": {"seed": 3},
    "versions": {"torch": "2"},
    "tasks": {"digits": {"sample_ids": ["a", "b"], "facts": {"images": "few"}}},
    "tables": [{"title": "T", "head": ["x", "y"], "lines": [["1", "2"]], "note": ""}],
    "flags": [
        {"code": "c", "task": "t", "defense": "d", "message": "m", "is_serious": True},
        {"code": "c", "task": "t", "defense": "d", "message": "n", "is_serious": True},
    ],
}


def test_everything_is_there() -> None:
    text = render(MADE)
    assert "digits: 2 images (images: few)." in text
    assert "| x | y |\n| --- | --- |\n| 1 | 2 |" in text
    assert "- serious, c: t, d: m (and 1 more attacks alike)." in text
    assert "Settings: seed 3. Versions: torch 2." in text


def test_what_holds_for_several_tasks_is_told_once() -> None:
    same = MADE["tasks"] | {"digits, more": MADE["tasks"]["digits"]}
    assert "digits; digits, more: 2 images (images: few)." in render(MADE | {"tasks": same})


def test_it_is_written_between_the_markers(tmp_path: Path) -> None:
    results, document = tmp_path / "r.json", tmp_path / "d.md"
    begin, end = markers("x")
    results.write_text(json.dumps(MADE))
    document.write_text(f"before\n{begin}\nold\n{end}\nafter")
    main(["x", str(results), "--document", str(document)])
    assert document.read_text() == f"before\n{begin}\n{render(MADE)}\n{end}\nafter"


@pytest.mark.parametrize("paper", RESULTS)
def test_the_document_holds_what_the_committed_results_say(paper: str) -> None:
    paths = [ROOT / f"benchmarks/results/{name}.json" for name in RESULTS[paper]]
    text = "\n\n".join(render(json.loads(path.read_text())) for path in paths)
    begin, end = markers(paper)
    document = (ROOT / f"docs/{paper}.md").read_text()
    assert f"{begin}\n{text}\n{end}" in document, "run python -m benchmarks.report_paper"
