"""Every scene parameter has a gradient: the derivative of the image, and not zero."""

import pytest
import torch
from torch import Tensor

from sparsedef.worlds import CLASSES, render
from sparsedef.worlds.parameters import NAMES, column, columns

STEP = 1e-6


def middle_scenes() -> tuple[Tensor, Tensor, Tensor]:
    """One patterned scene per shape with everything on, no parameter at its end, in float64."""
    generator = torch.Generator().manual_seed(2)
    parameters = 0.2 + 0.5 * torch.rand(8, len(NAMES), generator=generator, dtype=torch.float64)
    parameters[:, columns(["snow", "rain", "fog", "night", "sunset"])] *= 0.4
    classes = torch.arange(8) * 3 + 1 + torch.arange(8) % 2
    assert all("plain" not in CLASSES[each] for each in classes)
    return parameters, classes, torch.arange(8)


def heads(images: Tensor) -> Tensor:
    """A random linear functional of each image, ``[B]``: what a classifier might look at."""
    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(images.shape[1:], generator=generator, dtype=torch.float64)
    return (images * weights).flatten(1).sum(1)


@pytest.fixture(scope="module")
def gradient() -> Tensor:
    parameters, classes, seeds = middle_scenes()
    parameters.requires_grad_()
    (found,) = torch.autograd.grad(
        heads(render(parameters, classes, seeds, size=32)).sum(), parameters
    )
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_parameters_gradient_is_the_difference_quotient_and_not_zero(
    name: str, gradient: Tensor
) -> None:
    parameters, classes, seeds = middle_scenes()
    values = []
    for step in (STEP, -STEP):
        moved = parameters.clone()
        moved[:, column(name)] += step
        values.append(heads(render(moved, classes, seeds, size=32)))
    quotient = (values[0] - values[1]) / (2 * STEP)
    found = gradient[:, column(name)]
    torch.testing.assert_close(found, quotient, rtol=1e-5, atol=1e-5)
    assert found.abs().min() > 1e-4


def test_a_colour_that_is_held_apart_has_its_exact_gradient() -> None:
    parameters, classes, seeds = middle_scenes()
    parameters[:, columns(["snow", "rain", "fog", "night", "sunset"])] = 0
    rgb = columns(["red", "green", "blue"])
    # grass in the middle of its range, so near that the floor moves it
    parameters[:, columns(["grass", "water", "sand", "brick", "sky", "wood"])] = torch.tensor(
        [1.0, 0, 0, 0, 0, 0], dtype=torch.float64
    )
    parameters[:, rgb] = torch.tensor([0.36, 0.5, 0.22], dtype=torch.float64)
    parameters.requires_grad_()

    def value(scenes: Tensor) -> Tensor:
        return heads(render(scenes, classes, seeds, size=32))

    (found,) = torch.autograd.grad(value(parameters).sum(), parameters)
    assert found[:, rgb].abs().max(1).values.min() > 1
    for index in rgb:
        step = torch.zeros(len(NAMES), dtype=torch.float64)
        step[index] = STEP
        with torch.no_grad():
            quotient = (value(parameters + step) - value(parameters - step)) / (2 * STEP)
        torch.testing.assert_close(found[:, index], quotient, rtol=1e-4, atol=1e-4)


def test_gradients_are_finite_at_the_corners_of_the_box() -> None:
    generator = torch.Generator().manual_seed(4)
    parameters = torch.randint(2, (96, len(NAMES)), generator=generator).float().requires_grad_()
    images = render(parameters, torch.arange(96) % 24, torch.arange(96), size=32)
    (found,) = torch.autograd.grad(images.square().sum(), parameters)
    assert found.isfinite().all()
