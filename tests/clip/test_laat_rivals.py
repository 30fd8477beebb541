"""TeCoA and FARE tune the small CLIP's image tower, and nothing else of it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sparsedef.data.compositions import load_compositions
from sparsedef.defenses.laat import shapeworld_texts
from sparsedef.defenses.laat.schedules import SCHEDULES
from sparsedef.evaluation import Cache
from sparsedef.reproduce.laat_methods import Setting, train_method

pytest.importorskip("open_clip")


@pytest.mark.parametrize("name", ["tecoa", "fare"])
def test_the_image_tower_moves_and_the_text_tower_stays(name: str, tmp_path: Path) -> None:
    from sparsedef.clip import load_small_clip

    data = load_compositions(size=32, n_train=16, n_validation=30, n_test=5)
    schedule = replace(SCHEDULES["shapeworld"], steps=1, n_validation=30)
    setting = Setting(data, *shapeworld_texts(), schedule, clip_epochs=1, is_silent=True)
    network = train_method(Cache(tmp_path, {}), name, setting, lambda title: None)
    moved = {
        key.startswith("model.visual")
        for (key, value), before in zip(
            network.encoder.state_dict().items(),
            load_small_clip().state_dict().values(), strict=True,
        )
        if not torch.equal(value, before)
    }  # fmt: skip
    assert moved == {True}
    assert network.zero_shot(data.unseen)(data.test.images).shape == (5, 5)
