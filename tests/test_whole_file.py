"""A file is what it was, or whole."""

from pathlib import Path

import pytest

from sparsedef.whole_file import remove_leftovers, whole_file


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, error: type) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def stopped_half_way() -> None:
        with whole_file(path) as draft:
            draft.write_text("ne")
            raise error

    with pytest.raises(error):
        stopped_half_way()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_only_leftovers_of_the_name_are_removed(tmp_path: Path) -> None:
    for name in (".a.json.17.tmp", ".b.json.17.tmp", "a.json"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, "a.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".b.json.17.tmp", "a.json"]
