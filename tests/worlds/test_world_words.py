"""Edits and captions: what is said is so, and nothing said in mode ``relevant`` is a nuisance."""

import pytest
import torch

from sparsedef.worlds import (
    BACKGROUND_PHRASES,
    BACKGROUNDS,
    CLASSES,
    COLOURS,
    EDITS,
    FILL_FEATURES,
    FILLS,
    GROUPS,
    SHAPE_FEATURES,
    SHAPES,
    WEATHER_PHRASES,
    WEATHERS,
    FeasibleSet,
    Scenes,
    attributes,
    column,
    group_columns,
    irrelevant_phrases,
    relevant_phrases,
    sample_scenes,
    write_captions,
)


def scenes(count: int) -> Scenes:
    return sample_scenes(torch.Generator().manual_seed(0), count)


def captions(count: int, mode: str, seed: int = 0) -> tuple[str, ...]:
    generator = torch.Generator().manual_seed(seed)
    return write_captions(scenes(count), generator, mode=mode)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_does_what_it_says_stays_feasible_and_keeps_the_geometry(name: str) -> None:
    edit, before = EDITS[name], scenes(60).parameters
    after = edit(before)
    assert torch.equal(before, scenes(60).parameters)
    assert FeasibleSet(moves=GROUPS).contains(after).all()
    still = group_columns("geometry")
    assert torch.equal(after[:, still], before[:, still])
    torch.testing.assert_close(edit(after), after)
    said = attributes(after)
    if edit.kind == "weather":
        assert (said.weather == WEATHERS.index(name)).all()
    elif edit.kind == "background":
        assert (said.background == BACKGROUNDS.index(name)).all()
    elif edit.kind == "colour":
        assert (said.colour == tuple(COLOURS).index(name)).all()
    else:
        changed = "brightness" if name in ("bright", "dark") else "blur"
        assert after[:, column(changed)].unique().numel() == 1


def test_edits_show_and_pass_the_gradient_of_what_they_leave() -> None:
    batch = scenes(12)
    for name, edit in EDITS.items():
        before = EDITS["blurred" if name == "sharp" else "night" if name == "clear" else "clear"]
        parameters = before(batch.parameters)
        images = batch.with_parameters(parameters).render(size=32)
        edited = batch.with_parameters(edit(parameters)).render(size=32)
        assert (edited - images).abs().amax((1, 2, 3)).max() > 0.1, name
    parameters = batch.parameters.clone().requires_grad_()
    EDITS["snow"](parameters).sum().backward()
    assert parameters.grad is not None
    assert parameters.grad[:, column("snow")].abs().max() == 0
    assert parameters.grad[:, column("red")].abs().min() == 1


def test_every_caption_is_true() -> None:
    batch = scenes(3000)
    named = attributes(batch.parameters)
    for row, caption in enumerate(captions(3000, "full")):
        fill, shape = CLASSES[int(batch.classes[row])].split()
        assert not [s for s in SHAPES if f" {s}" in caption and s != shape], caption
        assert not [f for f in FILLS if f" {f} " in caption and f != fill], caption
        for table, own in ((SHAPE_FEATURES, shape), (FILL_FEATURES, fill)):
            assert all(own in kinds for phrase, kinds in table.items() if phrase in caption)
        for phrases, own in (
            (WEATHER_PHRASES, WEATHERS[int(named.weather[row])]),
            (BACKGROUND_PHRASES, BACKGROUNDS[int(named.background[row])]),
        ):
            said = [k for k, each in phrases.items() if any(f" {p}" in caption for p in each)]
            assert set(said) <= {own}, caption
        colour = tuple(COLOURS)[int(named.colour[row])]
        others = caption.replace("green lawn", "").replace("blue waves", "").split()
        others = " ".join(others).replace("orange light", "").split()
        assert set(others) & set(COLOURS) <= {colour}, caption


def test_nuisances_are_mentioned_as_often_as_said_or_never() -> None:
    full, relevant = captions(4000, "full"), captions(4000, "relevant")
    words = [(" " + p) for p in irrelevant_phrases()] + [f" {colour} " for colour in COLOURS]
    assert not [c for c in relevant if any(word in f" {c} " for word in words)]
    weather = [p for phrases in WEATHER_PHRASES.values() for p in phrases]
    share = sum(any(f" {p}" in c for p in weather) for c in full) / len(full)
    assert abs(share - 0.6) < 0.03
    named = sum(any(f" {shape}" in c for shape in SHAPES) for c in full) / len(full)
    assert abs(named - 0.5) < 0.03


def test_captions_are_deterministic_varied_and_keep_their_beginning() -> None:
    assert captions(50, "full") == captions(200, "full")[:50]
    assert captions(50, "full", seed=1) != captions(50, "full")
    assert len(set(captions(2000, "full"))) > 1900
    with pytest.raises(ValueError, match="mode must be one of"):
        captions(1, "short")


def test_features_tell_all_classes_apart_and_none_holds_for_all() -> None:
    assert len(set(relevant_phrases())) == len(relevant_phrases())
    assert not set(relevant_phrases()) & set(irrelevant_phrases())
    codes = {
        (shape, fill): tuple(shape in k for k in SHAPE_FEATURES.values())
        + tuple(fill in k for k in FILL_FEATURES.values())
        for shape in SHAPES
        for fill in FILLS
    }
    assert len(set(codes.values())) == len(CLASSES)
    for kinds in (*SHAPE_FEATURES.values(), *FILL_FEATURES.values()):
        assert kinds <= {*SHAPES, *FILLS}
        assert 0 < len(kinds) < len(SHAPES)
    for shape in SHAPES:
        assert sum(shape in kinds for kinds in SHAPE_FEATURES.values()) >= 4
    assert set(WEATHER_PHRASES) == set(WEATHERS)
    assert set(BACKGROUND_PHRASES) == set(BACKGROUNDS)
