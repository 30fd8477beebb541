"""Scenes and splits: balanced, disjoint, and confounded as strongly as was asked."""

import pytest
import torch

from sparsedef.worlds import (
    BACKGROUNDS,
    CLASSES,
    COLOURS,
    WEATHERS,
    Confounding,
    Scenes,
    attributes,
    column,
    columns,
    draw_split,
    sample_scenes,
)
from sparsedef.worlds.parameters import CONDITIONS, OFF


def test_everything_is_equally_likely_and_at_most_one_weather_is_on() -> None:
    scenes = sample_scenes(torch.Generator().manual_seed(0), 12_000)
    named = attributes(scenes.parameters)
    for values, kinds in (
        (scenes.classes, CLASSES),
        (named.weather, WEATHERS),
        (named.background, BACKGROUNDS),
        (named.colour, tuple(COLOURS)),
    ):
        share = values.bincount(minlength=len(kinds)) / len(scenes) * len(kinds)
        assert share.min() > 0.85
        assert share.max() < 1.15
    on = scenes.parameters[:, columns(CONDITIONS)]
    assert ((on > OFF).sum(1) == (named.weather > 0)).all()
    assert on[on > OFF].min() > 0.47
    assert scenes.parameters.dtype == torch.float32
    for name in ("x", "y", "scale", "rotation", "phase", "texture_x"):
        values = scenes.parameters[:, column(name)]
        assert abs(float(values.mean()) - 0.5) < 0.02, name


def test_weather_does_not_go_with_the_class_unless_asked() -> None:
    scenes = draw_split("train", 6000)
    achieved = Confounding.balanced(0.0, with_background=True).achieved(scenes)
    assert all(abs(share - 1 / 6) < 0.02 for share in achieved.values())


@pytest.mark.parametrize("strength", [0.5, 0.97, 1.0])
def test_a_confounding_reaches_its_strength_however_many_are_drawn(strength: float) -> None:
    confounding = Confounding.balanced(strength, with_background=True)
    for count in (2000, 10_000):
        achieved = confounding.achieved(draw_split("train", count, confounding=confounding))
        assert set(achieved) == {"weather", "background"}
        for share in achieved.values():
            assert abs(share - (strength + (1 - strength) / 6)) < 0.03


def test_favourites_are_balanced_and_a_background_without_one_stays_free() -> None:
    confounding = Confounding.balanced(1.0, seed=3)
    assert confounding.weather.bincount().tolist() == [4] * 6
    assert confounding.background is None
    assert list(confounding.achieved(draw_split("train", 50, confounding=confounding))) == [
        "weather"
    ]
    other = Confounding.balanced(1.0, seed=4)
    assert not torch.equal(other.weather, confounding.weather)
    with pytest.raises(ValueError, match=r"strength must lie in \[0, 1\], got 1.5"):
        Confounding.balanced(1.5)


def test_parts_and_seeds_share_no_scene() -> None:
    parts = [
        draw_split(part, 400, seed=seed).parameters
        for part in ("train", "validation", "test")
        for seed in (0, 1, 2)
    ]
    together = torch.cat(parts)
    assert len(together.unique(dim=0)) == len(together)


def test_a_longer_split_begins_with_the_shorter_one() -> None:
    short, long = draw_split("test", 20, seed=5), draw_split("test", 300, seed=5)
    for name in ("parameters", "classes", "seeds"):
        assert torch.equal(getattr(short, name), getattr(long, name)[:20])
    with pytest.raises(ValueError, match="part must be one of"):
        draw_split("training", 3)
    with pytest.raises(ValueError, match="seed must be at least 0"):
        draw_split("test", 3, seed=-1)


def test_confounding_changes_the_weather_and_nothing_else_of_a_scene() -> None:
    plain = draw_split("train", 300)
    shortcut = draw_split("train", 300, confounding=Confounding.balanced(0.9))
    assert torch.equal(plain.classes, shortcut.classes)
    weather = columns(CONDITIONS)
    rest = [i for i in range(23) if i not in weather]
    assert torch.equal(plain.parameters[:, rest], shortcut.parameters[:, rest])
    assert not torch.equal(plain.parameters[:, weather], shortcut.parameters[:, weather])


def test_scenes_are_checked_picked_and_drawn() -> None:
    scenes = draw_split("test", 10)
    picked = scenes[scenes.classes == scenes.classes[3]]
    assert len(picked) >= 1
    torch.testing.assert_close(scenes[3:4].render(size=32), scenes.render(size=32)[3:4])
    with pytest.raises(ValueError, match="Scenes: parameters must lie in"):
        Scenes(scenes.parameters + 1, scenes.classes, scenes.seeds)
