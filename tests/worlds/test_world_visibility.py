"""Visible by construction: the floors hold for chance, for the corners, and against a search."""

import pytest
import torch
from torch import Tensor

from sparsedef.worlds import (
    CLASSES,
    FLOORS,
    GROUPS,
    FeasibleSet,
    Visibility,
    render,
    sample_scenes,
    visibility,
)
from sparsedef.worlds.backgrounds import DARKEST, LIGHTEST
from sparsedef.worlds.contrast import (
    BLACK,
    INK_BELOW_COLOUR,
    INK_BELOW_GROUND,
    WHITE,
    keep_apart,
    luminance,
)
from sparsedef.worlds.parameters import CONDITIONS, column, columns

ATTACKER = FeasibleSet(moves=GROUPS)  # everything moves, pose and pattern included


def measure(parameters: Tensor, size: int) -> Visibility:
    count = torch.arange(len(parameters))
    classes = count % len(CLASSES)
    return visibility(render(parameters, classes, count, size=size), parameters, classes)


def check_floors(found: Visibility, *, share: float = 1.0) -> None:
    for name, values in found._asdict().items():
        assert values.min() >= share * FLOORS[name], name


@pytest.mark.parametrize("size", [32, 48])
def test_random_feasible_scenes_are_visible(size: int) -> None:
    check_floors(measure(ATTACKER.sample(torch.Generator().manual_seed(0), 360), size))
    drawn = sample_scenes(torch.Generator().manual_seed(1), 360)
    check_floors(measure(drawn.parameters, size))


@pytest.mark.parametrize("weather", ["clear", *CONDITIONS])
def test_the_ends_of_all_parameters_are_visible(weather: str) -> None:
    generator = torch.Generator().manual_seed(2)
    parameters = torch.randint(2, (144, 23), generator=generator).float()
    parameters[:, columns(CONDITIONS)] = 0
    if weather != "clear":
        parameters[:, column(weather)] = 1
    check_floors(measure(ATTACKER.project(parameters), 32))


@pytest.mark.parametrize("name", Visibility._fields)
def test_a_search_over_all_parameters_finds_no_camouflage(name: str) -> None:
    """Sign-gradient descent on the contrast itself, the strongest camouflage there is."""
    parameters = ATTACKER.sample(torch.Generator().manual_seed(3), 72)
    begun = None
    for step in range(14):
        parameters.requires_grad_()
        found = getattr(measure(parameters, 32), name)
        assert found.min() >= FLOORS[name]
        begun = found.detach() if begun is None else begun
        (gradient,) = torch.autograd.grad(found[found.isfinite()].sum(), parameters)
        length = 0.09 * (1 - step / 14) + 0.01
        parameters = ATTACKER.project(parameters.detach() - length * gradient.sign())
    has_tones = begun.isfinite()
    # the search does work: it takes a third off the median
    assert found[has_tones].median() < 0.67 * begun[has_tones].median()


def test_without_the_floors_a_search_does_find_camouflage(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the floors are for: the object's colour may be the background's otherwise."""
    from sparsedef.worlds import renderer
    from sparsedef.worlds.contrast import Paint

    monkeypatch.setattr(renderer, "keep_apart", lambda colour, ink, around: Paint(around, around))
    hidden = measure(ATTACKER.sample(torch.Generator().manual_seed(0), 48), 32)
    assert hidden.object.min() < FLOORS["object"]
    assert hidden.tones[hidden.tones.isfinite()].min() < FLOORS["tones"]


def test_colours_are_kept_apart_whatever_they_were() -> None:
    generator = torch.Generator().manual_seed(4)
    around = torch.rand(200_000, 3, generator=generator) * (LIGHTEST - DARKEST) + DARKEST
    # night mixes blue in: no background is darker than this
    around = around[luminance(around) > 0.21]
    colour = torch.rand(around.shape, generator=generator) * (WHITE - BLACK) + BLACK
    near = around + 0.01 * torch.randn(around.shape, generator=generator)
    colour = torch.where(torch.rand(len(around), 1, generator=generator) < 0.5, colour, near)
    ink = torch.rand(around.shape, generator=generator) * 0.6 + BLACK
    paint = keep_apart(colour, ink, around)
    assert (paint.colour - around).norm(dim=1).min() > 0.14
    assert paint.colour.min() >= BLACK - 1e-6
    assert paint.colour.max() <= WHITE + 1e-6
    assert paint.ink.min() >= 0
    assert (luminance(around) - luminance(paint.ink)).min() > INK_BELOW_GROUND - 1e-5
    assert (luminance(paint.colour) - luminance(paint.ink)).min() > INK_BELOW_COLOUR - 1e-5


def test_a_colour_far_from_its_surroundings_is_not_touched() -> None:
    around = torch.tensor([[0.3, 0.6, 0.3]])  # luminance 0.476
    red, ink = torch.tensor([[0.9, 0.2, 0.2]]), torch.tensor([[0.05, 0.05, 0.08]])
    paint = keep_apart(red, ink, around)
    assert torch.allclose(paint.colour, red)
    assert torch.allclose(paint.ink, ink)


def test_a_colour_equal_to_its_surroundings_is_moved_with_a_finite_gradient() -> None:
    same = torch.tensor([[0.4, 0.5, 0.45]], requires_grad=True)
    paint = keep_apart(same, torch.full((1, 3), 0.05), same.detach())
    assert (paint.colour - same).norm() > 0.2
    paint.colour.sum().backward()
    assert same.grad is not None
    assert same.grad.isfinite().all()
