"""Stored results are found again only when nothing changed, and are never half written."""

from pathlib import Path

import pytest
import torch

from sparsedef.evaluation import Cache, source_digest


def test_computes_once_per_settings_and_versions(tmp_path: Path) -> None:
    calls = []

    def compute() -> dict:
        calls.append(1)
        return {"rows": [{"a": 1.5, "b": "x"}], "images": torch.arange(3.0)}

    cache = Cache(tmp_path, {"torch": "1"})
    first = cache.get("attack", {"eps": 0.1}, compute)
    again = Cache(tmp_path, {"torch": "1"}).get("attack", {"eps": 0.1}, compute)
    assert len(calls) == 1
    assert again["rows"] == first["rows"]
    assert torch.equal(again["images"], first["images"])
    cache.get("attack", {"eps": 0.2}, compute)
    Cache(tmp_path, {"torch": "2"}).get("attack", {"eps": 0.1}, compute)
    assert len(calls) == 3


def test_a_broken_file_is_computed_again_and_said_so(tmp_path: Path) -> None:
    cache = Cache(tmp_path, {})
    cache.path("x", {}).write_bytes(b"half a file")
    with pytest.warns(UserWarning, match="cannot be read"):
        assert cache.get("x", {}, lambda: {"n": 1}) == {"n": 1}
    assert cache.get("x", {}, lambda: {"n": 2}) == {"n": 1}


def test_an_interrupted_computation_stores_nothing(tmp_path: Path) -> None:
    def compute() -> dict:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Cache(tmp_path, {}).get("x", {}, compute)
    assert list(tmp_path.iterdir()) == []


def test_changed_code_changes_the_digest(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    before = source_digest(tmp_path)
    assert source_digest(tmp_path) == before
    (tmp_path / "a.py").write_text("x = 2\n")
    assert source_digest(tmp_path) != before
