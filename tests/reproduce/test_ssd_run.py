"""A whole run of SSD's comparison on a tiny world: repeated, stopped and taken up again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_world import SIZES, tiny_world

from sparsedef.evaluation import Row, work_bar
from sparsedef.reproduce import ssd_attacks
from sparsedef.reproduce.ssd import reproduce, write
from sparsedef.reproduce.ssd_heads import CONTENDERS, HALF
from sparsedef.reproduce.ssd_search import SURFACES, Condition

pytestmark = pytest.mark.slow
KEPT = {"zero_shot", "linear_probe", "dense_concepts", "ssd", HALF}
LOOKED_AT = tuple(Condition("clean", "text, distinct", SIZES.few, surface) for surface in SURFACES)


@pytest.fixture(scope="module", autouse=True)
def few_contenders() -> Iterator[None]:
    """Those that the sentences speak of, so that three runs take a minute and not five."""
    with pytest.MonkeyPatch.context() as patch:
        for name in set(CONTENDERS) - KEPT:
            patch.delitem(CONTENDERS, name)  # type: ignore[arg-type]
        yield


def run(folder: Path) -> dict[str, Any]:
    pytest.importorskip("jinja2")
    pytest.importorskip("PIL")
    with work_bar(is_silent=True) as bar:
        results = reproduce(tiny_world(folder), bar, {"seed": 0}, {"sparsedef": "test"}, LOOKED_AT)
        assert bar.done == bar.bar.total or bar.bar.disable
    write(folder, results)
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder)


def test_the_file_holds_all_that_the_table_rests_on(whole: tuple[Path, dict[str, Any]]) -> None:
    found = whole[1]
    assert set(found) == {
        "title", "settings", "sizes", "encoder", "versions", "tables", "tasks", "rows", "flags",
        "geometry", "sparsity", "reading",
    }  # fmt: skip
    assert set(found["tasks"]) == {"shapeworld, clean heads", "shapeworld, confounded heads"}
    for task in found["tasks"].values():
        assert len(task["sample_ids"]) == SIZES.n_test
        assert set(task["defenses"]) == KEPT
        assert task["association"].keys() == {"asked", "share", "cramers_v"}
        assert all(each["within"] == 1 for each in task["theory"]), "theory's bounds hold"
    for row in found["rows"]:
        assert row["n"] == len(row["correct"]) == SIZES.n_test
        assert row["ci_low"] <= row["accuracy"] <= row["ci_high"]
        assert (row["strength"] is None) == (row["norm"] == "semantic")
        assert Row.from_json(row).to_json().items() <= row.items()
    worst = {
        (row["task"], row["defense"]): row["correct"]
        for row in found["rows"]
        if (row["threat_model"], row["norm"]) == ("worst case", "semantic")
    }  # fmt: skip
    assert len(worst) == 2 * len(KEPT)
    for row in found["rows"]:
        if row["norm"] == "semantic":
            pairs = zip(worst[row["task"], row["defense"]], row["correct"], strict=True)
            assert all(low <= each for low, each in pairs)
    compared, duels = found["sparsity"]["conditions"], found["sparsity"]["duels"]
    assert [each["condition"]["surface"] for each in compared] == list(SURFACES)
    for each, duel in zip(compared, duels, strict=True):
        assert duel["condition"] == each["condition"], "of one condition the best is that one"
        assert each["ci_low"] <= each["difference"] <= each["ci_high"]
        for name in ("sparse_right", "dense_right"):
            pairs = zip(each[name], duel[name], strict=True)
            assert all(gradient <= search for search, gradient in pairs), (
                "more attacks, no more right"
            )


def test_the_page_refers_to_nothing_outside_itself(whole: tuple[Path, dict[str, Any]]) -> None:
    page = (whole[0] / "report.html").read_text()
    assert page.count('<svg class="chart bars"') >= 2
    assert "no defense against them" in page
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_run_taken_up_again_ends_as_one_that_never_stopped(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    climb, done = ssd_attacks.ascend, []

    def stop_soon(*arguments: Any) -> Any:
        done.append(1)
        if len(done) == 9:
            raise KeyboardInterrupt
        return climb(*arguments)

    monkeypatch.setattr(ssd_attacks, "ascend", stop_soon)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    monkeypatch.setattr(ssd_attacks, "ascend", climb)
    kept = len(list((tmp_path / "cache").iterdir()))
    assert run(tmp_path) == whole[1]
    assert len(list((tmp_path / "cache").iterdir())) > kept > 20
    assert not list((tmp_path / "cache").glob("*.draft*"))
