"""docs/regionsparse.md: its Python runs from top to bottom."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sparsedef.defenses import ABLATIONS, STAGES

PAGE = Path(__file__).parents[2] / "docs" / "regionsparse.md"

pytest.importorskip("sklearn")


@pytest.mark.skipif(not PAGE.is_file(), reason="the page is in the repository only")
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    atoms = np.random.default_rng(0).standard_normal((128, 48)).astype(np.float32)
    np.save("d.npy", atoms)
    names: dict[str, Any] = {}
    with torch.random.fork_rng(devices=[]):
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
            exec(block, names)
    assert names["logits"].shape == (8, 10)
    assert (names["found"] - names["images"]).abs().max() <= 8 / 255 + 1e-6
    assert names["margin"].shape == (8,)
    assert names["uncoded"](names["images"]).shape == (8, 10)
    assert names["ABLATIONS"] is ABLATIONS


@pytest.mark.skipif(not PAGE.is_file(), reason="the page is in the repository only")
def test_the_page_names_every_stage() -> None:
    named = re.findall(r"^\| ([A-Z]{2}) \|", PAGE.read_text(), re.MULTILINE)
    assert named == list(STAGES)
