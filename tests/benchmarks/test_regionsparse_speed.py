"""The stage-by-stage timing runs small, and refuses to time a wrong answer."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks import regionsparse_speed
from sparsedef.defenses import RegionSparse

pytest.importorskip("sklearn")


@pytest.fixture(autouse=True)
def _threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run(out: Path) -> int:
    small = ["--side", "48", "--batch", "2", "--threads", "1", "--rounds", "2"]
    return regionsparse_speed.main([*small, "--out", str(out)])


def test_every_stage_has_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "rows.json") == 0
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    stages = [row["stage"] for row in rows]
    assert stages[:3] == ["localise", "bilateral", "coding"]
    told = capsys.readouterr().out
    assert "128 atoms of 48 numbers, 2 per patch, stride 2" in told
    assert all(stage in told for stage in stages)
    assert all(0 < row["q1_ms"] <= row["median_ms"] <= row["q3_ms"] for row in rows)


def test_a_wrong_answer_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_coded(self: RegionSparse, images: Tensor, *, region: Tensor | None = None) -> Tensor:
        return self.smooth(images)

    monkeypatch.setattr(RegionSparse, "purify", not_coded)
    with pytest.raises(AssertionError):
        run(tmp_path / "rows.json")
    assert not (tmp_path / "rows.json").exists()
