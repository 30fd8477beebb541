"""docs/carso.md: its Python runs, and what it says of the presets is so."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsedef.defenses.carso import PRESETS

PAGE = Path(__file__).parents[2] / "docs" / "carso.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="the page is in the repository only")
def test_the_page_runs_and_names_every_preset() -> None:
    pytest.importorskip("sklearn")
    names: dict[str, Any] = {}
    with torch.random.fork_rng(devices=[]):
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
            exec(block, names)
    assert names["logits"].shape == (4, 10)
    assert all(f"`{name}`" in PAGE.read_text() or name in PAGE.read_text() for name in PRESETS)
