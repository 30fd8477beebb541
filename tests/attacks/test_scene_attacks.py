"""Attacks on scenes: what each finds and does not, and what all of them keep to."""

import pytest
import torch
from scene_models import (
    SIZE,
    Waves,
    border,
    clear_scenes,
    fears_dark,
    fears_nothing,
    fears_white,
    two_classes,
    zeros,
)
from torch import Tensor, nn

from sparsedef.attacks.semantic import (
    BestOfN,
    NamedEdits,
    SceneAscent,
    SceneAttack,
    SceneResult,
    judge,
    worst_of,
)
from sparsedef.worlds.feasible import FeasibleSet
from sparsedef.worlds.parameters import group_columns
from sparsedef.worlds.scenes import WEATHERS, attributes

ATTACKS = {
    "named": lambda **options: NamedEdits(["snow", "night"], size=SIZE, **options),
    "random": lambda **options: BestOfN(4, refine=4, size=SIZE, **options),
    "uniform": lambda **options: BestOfN(5, source="uniform", size=SIZE, **options),
    "ascent": lambda **options: SceneAscent(steps=3, n_random=4, size=SIZE, **options),
    "sign": lambda **options: SceneAscent(
        steps=4, starts=("scene",), restarts=1, optimizer="sign", size=SIZE, **options
    ),
}
SETS = {
    "usual": FeasibleSet(),
    "weather": FeasibleSet(moves=("weather",), bounds={"snow": (0, 0.5)}),
    "all": FeasibleSet(moves=("geometry", "appearance", "weather", "light")),
}


@pytest.mark.parametrize("feasible", SETS)
@pytest.mark.parametrize("name", ATTACKS)
def test_keeps_to_the_feasible_set_and_says_truly_what_it_found(name: str, feasible: str) -> None:
    scenes, model = clear_scenes(), Waves(0.9)
    allowed = SETS[feasible]
    result = ATTACKS[name](feasible=allowed)(model, scenes, zeros(scenes))
    found = result.scenes.parameters
    assert allowed.contains(found, scenes.parameters).all()
    still = [i for group in ("geometry", "appearance", "weather", "light")
             if group not in allowed.moves for i in group_columns(group)]  # fmt: skip
    assert torch.equal(found[:, still], scenes.parameters[:, still])
    assert torch.equal(result.scenes.classes, scenes.classes)
    assert torch.equal(result.scenes.seeds, scenes.seeds)
    torch.testing.assert_close(result.images, result.scenes.render(size=SIZE))
    assert torch.equal(result.success, model(result.images).argmax(1) != 0)
    # the unedited scene is always among the candidates
    before, after = model(scenes.render(size=SIZE)), model(result.images)
    worse = after[:, 1:].amax(1) >= before[:, 1:].amax(1) - 1e-12
    assert worse.all()


@pytest.mark.parametrize("name", ATTACKS)
def test_finds_nothing_where_nothing_can_be_found(name: str) -> None:
    scenes = clear_scenes()
    result = ATTACKS[name]()(fears_nothing, scenes, zeros(scenes))
    assert not result.success.any()
    assert result.health.zero == result.health.asked
    if name in ("ascent", "sign"):
        assert sum(result.health.zero) > 0


@pytest.mark.parametrize("name", ["named", "random", "ascent"])
def test_finds_the_snow_that_a_model_fears(name: str) -> None:
    scenes = clear_scenes()
    allowed = FeasibleSet(moves=("weather",))
    assert not judge(fears_white, scenes, zeros(scenes), size=SIZE).success.any()
    attack = BestOfN(60, feasible=allowed, size=SIZE) if name == "random" else ATTACKS[name](
        feasible=allowed
    )  # fmt: skip
    result = attack(fears_white, scenes, zeros(scenes))
    assert result.success.all()
    weather = attributes(result.scenes.parameters).weather
    assert {WEATHERS[i] for i in weather.tolist()} == {"snow"}
    without = FeasibleSet(moves=("weather",), bounds={"snow": (0, 0.08), "fog": (0, 0.4)})
    kept = ATTACKS[name](feasible=without)(fears_white, scenes, zeros(scenes))
    assert not kept.success.any()


def test_ascent_finds_what_no_named_edit_and_few_draws_find() -> None:
    scenes = clear_scenes()
    assert not NamedEdits(size=SIZE)(fears_dark, scenes, zeros(scenes)).success.any()
    assert not BestOfN(5, size=SIZE)(fears_dark, scenes, zeros(scenes)).success.any()
    attack = SceneAscent(steps=12, step_size=0.1, n_random=5, size=SIZE)
    # most, not all: the floor of contrast keeps some scenes brighter than this model fears
    assert attack(fears_dark, scenes, zeros(scenes)).success.float().mean() >= 0.6


def test_each_named_edit_is_reported_and_the_worst_is_kept() -> None:
    scenes = clear_scenes()
    result = NamedEdits(["snow", "night", "clear"], size=SIZE)(fears_white, scenes, zeros(scenes))
    assert list(result.by_edit) == ["unedited", "snow", "night", "clear"]
    assert result.by_edit["snow"].tolist() == [1.0] * 5
    assert result.by_edit["night"].tolist() == result.by_edit["unedited"].tolist() == [0.0] * 5
    worst = torch.stack(list(result.by_edit.values())).amax(0)
    assert torch.equal(result.error_rate, worst)


@pytest.mark.parametrize("name", ATTACKS)
def test_the_seed_repeats_whatever_the_global_one_which_it_leaves(name: str) -> None:
    scenes, model = clear_scenes(), Waves(2.0)

    def found(seed: int, around: int) -> Tensor:
        torch.manual_seed(around)
        before = torch.get_rng_state()
        parameters = ATTACKS[name](seed=seed)(model, scenes, zeros(scenes)).scenes.parameters
        assert torch.equal(before, torch.get_rng_state())
        return parameters

    first = found(3, around=1)
    assert torch.equal(first, found(3, around=2))
    if name in ("random", "uniform"):  # the others may end alike
        assert not torch.equal(first, found(4, around=1))


def top(model: nn.Module, result: SceneResult) -> Tensor:
    logits = model(result.images)
    return logits[:, 1:].amax(1) - logits[:, 0]


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (SceneAscent(steps=3, n_random=3, size=SIZE), SceneAscent(steps=7, n_random=3, size=SIZE)),
        (SceneAscent(steps=3, starts=("scene",), size=SIZE), SceneAscent(
            steps=3, starts=("scene",), restarts=3, size=SIZE)),
        (BestOfN(4, size=SIZE), BestOfN(12, size=SIZE)),
        (BestOfN(4, refine=4, size=SIZE), BestOfN(4, refine=16, size=SIZE)),
    ],
)  # fmt: skip
def test_a_longer_search_is_never_weaker(short: SceneAttack, long: SceneAttack) -> None:
    scenes, model = clear_scenes(), Waves(2.0)  # out of reach, so that every search runs its length
    less, more = (top(model, attack(model, scenes, zeros(scenes))) for attack in (short, long))
    assert (more >= less - 1e-12).all()
    assert (more > less + 1e-6).any()


def test_batches_change_memory_alone_where_nothing_is_random() -> None:
    scenes, model = clear_scenes(), Waves(0.9)
    options = {"steps": 4, "starts": ("scene", "named"), "size": SIZE}
    whole = SceneAscent(**options)(model, scenes, zeros(scenes))
    parts = SceneAscent(batch_size=4, **options)(model, scenes, zeros(scenes))
    torch.testing.assert_close(whole.scenes.parameters, parts.scenes.parameters)
    assert sum(whole.health.asked) == sum(parts.health.asked)


def test_a_model_that_answers_nan_has_fallen() -> None:
    scenes = clear_scenes()

    def fails_on_white(images: Tensor) -> Tensor:
        is_white = border(images).amin(1) > 0.57
        return torch.where(is_white[:, None], torch.nan, two_classes(border(images).amin(1) - 2))

    for name in ("named", "ascent"):
        assert ATTACKS[name]()(fails_on_white, scenes, zeros(scenes)).success.all(), name


def test_nan_gradients_are_counted_and_do_not_spread() -> None:
    scenes = clear_scenes()

    def broken(images: Tensor) -> Tensor:
        mean = images.mean((1, 2, 3))
        return two_classes(-1 + 0 * (mean - mean.detach()).abs().sqrt())

    result = ATTACKS["sign"]()(broken, scenes, zeros(scenes))
    assert result.health.nonfinite == result.health.asked
    assert sum(result.health.asked) > 0
    assert torch.isfinite(result.scenes.parameters).all()


class Flaky(nn.Module):
    """Errs by chance, and more often the darker the picture is."""

    is_random = True

    def forward(self, images: Tensor) -> Tensor:
        return two_classes(0.35 - images.mean((1, 2, 3)) + 0.1 * torch.randn(len(images)))


def test_a_random_model_is_asked_several_times() -> None:
    scenes = clear_scenes()
    attack = SceneAscent(steps=5, step_size=0.2, starts=("scene",), size=SIZE, draws=5)
    result = attack(Flaky(), scenes, zeros(scenes))
    assert ((result.error_rate * 5) % 1).max() < 1e-6
    calm = judge(Flaky(), scenes, zeros(scenes), size=SIZE, draws=100)
    assert result.error_rate.mean() > calm.error_rate.mean() + 0.3


def test_training_mode_comes_back() -> None:
    model = Flaky().train()
    NamedEdits(["snow"], size=SIZE)(model, clear_scenes(), zeros(clear_scenes()))
    assert model.training


def test_no_scenes_are_no_work() -> None:
    scenes = clear_scenes()[:0]
    for attack in ATTACKS.values():
        assert attack()(fears_dark, scenes).images.shape == (0, 3, SIZE, SIZE)


def test_bad_input_is_named() -> None:
    scenes = clear_scenes()
    stormy = scenes.parameters.clone()
    stormy[0, group_columns("weather")] = 0.7
    with pytest.raises(ValueError, match=r"scenes must be feasible, got 1 of 5"):
        NamedEdits(size=SIZE)(fears_dark, scenes.with_parameters(stormy), zeros(scenes))
    with pytest.raises(TypeError, match="labels must be int64"):
        BestOfN(2, size=SIZE)(fears_dark, scenes, zeros(scenes).int())
    with pytest.raises(ValueError, match="labels must be < 2"):
        BestOfN(2, size=SIZE)(fears_dark, scenes, zeros(scenes) + 2)
    with pytest.raises(ValueError, match=r"no_grad inside\?"):
        SceneAscent(size=SIZE)(torch.no_grad()(Waves(2.0)), scenes, zeros(scenes))
    with pytest.raises(ValueError, match="surrogate must be None"):
        BestOfN(2, size=SIZE)(fears_dark, scenes, zeros(scenes), surrogate=fears_white)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NamedEdits(["storm"]), "edits must be one of .*got 'storm'"),
        (lambda: NamedEdits([]), "edits must hold at least one"),
        (lambda: NamedEdits(["red"], feasible=SETS["weather"]), r"may move.*got 'red'"),
        (lambda: BestOfN(0), "n must be at least 1"),
        (lambda: BestOfN(source="prior"), "source must be one of"),
        (lambda: SceneAscent(loss="hinge"), "loss must be one of .*or callable"),
        (lambda: SceneAscent(starts=("middle",)), "starts must be one of"),
        (lambda: SceneAscent(starts=()), "starts must hold at least one"),
        (lambda: SceneAscent(step_size=0), "step_size must be finite and > 0"),
        (lambda: SceneAscent(feasible=FeasibleSet(moves=())), "let some group move"),
        (lambda: worst_of([]), "results must hold at least one"),
    ],
)
def test_bad_settings_are_named(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
