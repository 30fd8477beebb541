"""The data set: images are their scenes', the shortcut is in the training part alone."""

import pytest
import torch

from sparsedef.data import DATASETS, ShapeWorldDataset, load_shapeworld
from sparsedef.worlds import CLASSES, Confounding, attributes


def small(**settings: object) -> ShapeWorldDataset:
    sizes: dict[str, object] = {"size": 32, "n_train": 240, "n_validation": 40, "n_test": 60}
    return load_shapeworld(**{**sizes, **settings})  # type: ignore[arg-type]


def test_images_labels_and_ids_are_those_of_the_scenes() -> None:
    data = small(seed=7)
    assert DATASETS["shapeworld"] is load_shapeworld
    assert data.classes == CLASSES
    for name, split in (("train", data.train), ("test", data.test)):
        assert split.images.shape == (len(split), 3, 32, 32)
        assert torch.equal(split.labels, split.scenes.classes)
        assert split.ids[5] == f"{name}-7/5"
        drawn = split.scenes[:20].render(size=32)
        torch.testing.assert_close(drawn, split.images[:20], rtol=0, atol=2e-6)
    first = data.test.take(9)
    assert len(first) == len(first.scenes) == 9
    assert torch.equal(first.images, data.test.images[:9])


def test_the_seed_decides_and_a_longer_part_begins_with_the_shorter_one() -> None:
    data, again, other = small(), small(n_test=90), small(seed=1)
    torch.testing.assert_close(data.test.images, again.test.images[:60], rtol=0, atol=2e-6)
    assert (data.test.images - other.test.images).abs().max() > 0.1


def test_only_the_training_part_has_the_shortcut_and_its_share_is_told() -> None:
    data = small(confounding=0.9, confound_background=True, n_test=300)
    found = attributes(data.train.scenes.parameters)
    favourite = data.confounding.weather[data.train.labels]
    assert data.achieved["weather"] == pytest.approx((found.weather == favourite).float().mean())
    assert data.achieved["weather"] > 0.85
    assert data.achieved["background"] > 0.85
    assert f"weather {data.achieved['weather']:.3f}" in data.source
    assert isinstance(data.confounding, Confounding)
    held_out = data.confounding.achieved(data.test.scenes)
    assert max(held_out.values()) < 0.25


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="n_test must be at least 1, got 0"):
        small(n_test=0)
    with pytest.raises(ValueError, match="seed must be at least 0, got -2"):
        small(seed=-2)
    with pytest.raises(ValueError, match="size must be at least 16, got 4"):
        small(size=4)
    with pytest.raises(ValueError, match=r"strength must lie in \[0, 1\]"):
        small(confounding=1.2)
