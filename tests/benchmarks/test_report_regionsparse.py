"""RegionSparse's tables in its document are those of the committed JSON."""

import json
from pathlib import Path

from benchmarks.report_regionsparse import BEGIN, END, main, render

ROOT = Path(__file__).parents[2]
RESULTS = [ROOT / f"benchmarks/results/regionsparse-{name}.json" for name in ("table2", "figure4")]
DOCUMENT = ROOT / "docs/regionsparse.md"

MADE = {
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
    assert "digits, 2 images (images: few)." in text
    assert "| x | y |\n| --- | --- |\n| 1 | 2 |" in text
    assert "- serious, c: t, d: m (and 1 more attacks alike)." in text
    assert "Settings: seed 3. Versions: torch 2." in text


def test_it_is_written_between_the_markers(tmp_path: Path) -> None:
    results, document = tmp_path / "r.json", tmp_path / "d.md"
    results.write_text(json.dumps(MADE))
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter")
    main([str(results), "--document", str(document)])
    assert document.read_text() == f"before\n{BEGIN}\n{render(MADE)}\n{END}\nafter"


def test_the_document_holds_what_the_committed_results_say() -> None:
    text = "\n\n".join(render(json.loads(path.read_text())) for path in RESULTS)
    assert f"{BEGIN}\n{text}\n{END}" in DOCUMENT.read_text(), (
        "run python -m benchmarks.report_regionsparse"
    )
