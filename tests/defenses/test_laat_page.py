"""docs/laat.md: its Python runs from top to bottom, and says what the stored texts say."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

PAGE = Path(__file__).parents[2] / "docs" / "laat.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="the page is in the repository only")
def test_the_pages_python_runs_and_its_angle_is_right() -> None:
    text = PAGE.read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    images = torch.rand(2, 3, 32, 32)
    assert names["other"].eval()(images).shape == (2, 10)

    from sparsedef.data.compositions import load_compositions
    from sparsedef.defenses.laat import AnchorExpansion

    data = load_compositions(size=16, n_train=1, n_validation=1, n_test=1)
    expansion = AnchorExpansion.fit(names["texts"].of(data.names(data.seen)))
    told = re.search(r"is (\d+) degrees from the middle", text)
    assert told is not None
    assert round(expansion.phi_max * 180 / torch.pi) == int(told[1])
