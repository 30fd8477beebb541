"""Finished rows survive a stop, count only for the same run, and end in one file."""

import json
from pathlib import Path

import pytest

import sparsedef
from benchmarks import store as keeping
from benchmarks.store import Store


def store(path: Path, threads: tuple[int, ...] = (1,), size: str = "tiny") -> Store:
    return Store(path, threads, size, "auto")


def test_rows_come_back_after_a_stop(tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    first = store(out)
    first.keep("b", {"n": 2})
    first.keep("a", {"n": 1})
    assert not out.exists()
    again = store(out, threads=(2,))
    assert again.rows == {"b": {"n": 2}, "a": {"n": 1}}
    assert again.header["datetime"] == first.header["datetime"]
    assert again.header["machine_info"]["threads"] == [1, 2]
    assert "2 finished rows" in again.note
    again.finish(["a", "b"])
    results = json.loads(out.read_text())
    assert results["rows"] == [{"n": 1}, {"n": 2}]
    assert set(results) == {"machine_info", "commit_info", "datetime", "rows"}
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_an_unfinished_file_is_readable_by_the_report(tmp_path: Path) -> None:
    one = store(tmp_path / "r.json")
    one.keep("a", {"n": 1})
    assert one.part is not None
    kept = json.loads(one.part.read_text())
    assert kept["rows"] == [{"n": 1}]
    assert kept["machine_info"]["size"] == "tiny"


@pytest.mark.parametrize("change", ["size", "sources"])
def test_rows_of_another_run_do_not_count(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "r.json"
    store(out).keep("a", {"n": 1})
    if change == "sources":
        monkeypatch.setattr(keeping, "sources", lambda: "edited")
    other = store(out, size="small" if change == "size" else "tiny")
    assert other.rows == {}
    assert "begun anew" in other.note


def test_the_digest_of_the_sources_sees_an_edit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(sparsedef, "__file__", str(tmp_path / "__init__.py"))
    before = keeping.sources()
    assert keeping.sources() == before
    (tmp_path / "a.py").write_text("x = 2\n")
    assert keeping.sources() != before


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = Store(None, [1], "tiny", "auto")
    one.keep("a", {"n": 1})
    assert one.rows == {"a": {"n": 1}}
    assert list(tmp_path.iterdir()) == []
