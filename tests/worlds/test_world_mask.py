"""The class is unchanged by construction: geometry and class alone decide what is drawn."""

import pytest
import torch
from torch import Tensor

from sparsedef.worlds import CLASSES, EDITS, class_index, class_mask, render
from sparsedef.worlds.classes import FILLS, SHAPES, fill_index, shape_index
from sparsedef.worlds.parameters import BACKGROUNDS, CONDITIONS, column, columns, group_columns
from sparsedef.worlds.shapes import DISTANCES, REACH

EVERY_CLASS = torch.arange(len(CLASSES))


def random_scenes(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 23, generator=generator, dtype=torch.float64)


def test_the_mask_depends_on_geometry_and_class_only() -> None:
    parameters, other = random_scenes(24), random_scenes(24, seed=1)
    other[:, group_columns("geometry")] = parameters[:, group_columns("geometry")]
    for one, two in zip(
        class_mask(parameters, EVERY_CLASS), class_mask(other, EVERY_CLASS), strict=True
    ):
        assert torch.equal(one, two)
    parameters.requires_grad_()
    mask = class_mask(parameters, EVERY_CLASS)
    total = sum((part * torch.rand_like(part)).sum() for part in mask)
    assert isinstance(total, Tensor)
    total.backward()
    assert parameters.grad is not None
    for group in ("appearance", "weather", "light"):
        assert parameters.grad[:, group_columns(group)].abs().max() == 0
    assert parameters.grad[:, group_columns("geometry")].abs().amin(1).max() > 0


@pytest.mark.parametrize("weather", ["clear", "fog", "night", "sunset"])
def test_what_is_painted_is_the_mask(weather: str) -> None:
    """Two colours of one scene differ by multiples of the mask's parts, and nowhere else."""
    red = random_scenes(24)
    red[:, columns([*CONDITIONS, "blur"])] = 0
    if weather != "clear":
        red[:, column(weather)] = 0.8
    red, cyan = EDITS["red"](red), EDITS["cyan"](red)
    seeds = torch.arange(24)
    change = render(red, EVERY_CLASS, seeds) - render(cyan, EVERY_CLASS, seeds)
    mask = class_mask(red, EVERY_CLASS)
    parts = torch.stack([mask.colour, mask.outline + mask.pattern], 1).flatten(2)
    found = torch.linalg.lstsq(parts.mT, change.flatten(2).mT)
    left = change.flatten(2) - (parts.mT @ found.solution).mT
    assert left.abs().max() < 1e-10
    assert change.abs().flatten(1).max(1).values.min() > 0.15


def test_no_edit_touches_the_mask() -> None:
    parameters = random_scenes(24)
    before = class_mask(parameters, EVERY_CLASS)
    for edit in EDITS.values():
        for one, two in zip(before, class_mask(edit(parameters), EVERY_CLASS), strict=True):
            assert torch.equal(one, two)


def test_the_whole_object_is_inside_with_its_surroundings() -> None:
    ends = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
    parameters = torch.full((16 * 24, 23), 0.5)
    parameters[:, columns(["x", "y", "scale", "rotation"])] = ends.repeat(24, 1)
    mask = class_mask(parameters, EVERY_CLASS.repeat_interleave(16))
    border = torch.ones(48, 48, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    assert mask.coverage[:, border].max() < 0.1
    assert mask.ring.flatten(1).sum(1).min() > 50
    assert mask.coverage.flatten(1).mean(1).min() > 0.1


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_reaches_no_farther_than_said_and_is_a_distance_at_its_edge(name: str) -> None:
    axis = torch.linspace(-1.5, 1.5, 500, dtype=torch.float64)
    v, u = torch.meshgrid(axis + 1e-4, axis, indexing="ij")  # no pixel on a crease
    u, v = u.flatten().requires_grad_(), v.flatten().requires_grad_()
    distance = DISTANCES[name](u[None], v[None])[0]
    assert torch.hypot(u, v)[distance < 0].max() <= REACH
    slope = torch.hypot(*torch.autograd.grad(distance.sum(), (u, v)))
    edge = distance.abs() < 0.05
    torch.testing.assert_close(slope[edge], torch.ones_like(slope[edge]), rtol=1e-4, atol=0)


def test_shapes_and_fills_show_what_tells_them_apart() -> None:
    """The facts that captions state, read off the masks of upright objects in the middle."""
    parameters = torch.full((24, 23), 0.5)
    mask = class_mask(parameters, EVERY_CLASS, size=97)
    centre = mask.coverage[:, 48, 48] > 0.5
    for index, name in enumerate(CLASSES):
        assert bool(centre[index]) == ("ring" not in name and "crescent" not in name), name
    share = mask.pattern.flatten(1).sum(1) / mask.coverage.flatten(1).sum(1)
    assert share[fill_index(EVERY_CLASS) == FILLS.index("plain")].max() < 1e-6
    assert share[fill_index(EVERY_CLASS) == FILLS.index("striped")].min() > 0.25
    dotted = share[fill_index(EVERY_CLASS) == FILLS.index("dotted")]
    assert dotted.min() > 0.12
    assert dotted.max() < 0.3
    for one in range(len(SHAPES)):
        for two in range(one):
            a, b = (mask.coverage[class_index(SHAPES[s], "plain")] for s in (one, two))
            assert (a - b).abs().sum() > 0.15 * torch.minimum(a.sum(), b.sum())


def test_patterns_have_enough_ink_in_every_pose() -> None:
    classes = EVERY_CLASS[EVERY_CLASS % 3 > 0].repeat(40)
    mask = class_mask(random_scenes(len(classes)), classes)
    area = mask.coverage.flatten(1).sum(1)
    assert (mask.pattern.flatten(1).sum(1) / area).min() > 0.1
    assert (mask.colour.flatten(1).sum(1) / area).min() > 0.2


def test_class_numbers_and_names_agree() -> None:
    for index, name in enumerate(CLASSES):
        one = torch.tensor([index])
        fill, shape = FILLS[int(fill_index(one))], SHAPES[int(shape_index(one))]
        assert name == f"{fill} {shape}"
        assert class_index(shape, fill) == index
    with pytest.raises(ValueError, match="shape must be one of"):
        class_index("cube", "plain")
    assert len(BACKGROUNDS) == 6
