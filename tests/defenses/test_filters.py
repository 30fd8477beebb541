"""Filters agree with their definitions, written out pixel by pixel."""

import math

import pytest
import torch
from torch import Tensor

from sparsedef.defenses.filters import (
    Localiser,
    bilateral,
    bilateral_filter,
    box_mask,
    non_local_means,
)
from sparsedef.defenses.filters.box_mean import box_mean
from sparsedef.defenses.filters.localise import _otsu


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mirrored(index: int, length: int) -> int:
    index = abs(index)
    return index if index < length else 2 * (length - 1) - index


@pytest.mark.parametrize("at_once", [1, 2**18])
def test_bilateral_is_its_definition(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bilateral, "AT_ONCE", at_once)
    image = noise(3, 6, 7)
    images = torch.stack([noise(3, 6, 7, seed=1), image, noise(3, 6, 7, seed=2)])
    found = bilateral_filter(images, size=5, sigma_color=0.2, sigma_space=1.5)[1]
    for row, column in ((0, 0), (2, 3), (5, 6)):
        total, norm = torch.zeros(3, dtype=torch.float64), 0.0
        for down in range(-2, 3):
            for right in range(-2, 3):
                other = image[:, mirrored(row + down, 6), mirrored(column + right, 7)]
                unlike = (other - image[:, row, column]).square().sum().item() / (2 * 0.2**2)
                weight = math.exp(-(down**2 + right**2) / (2 * 1.5**2) - unlike)
                total, norm = total + weight * other, norm + weight
        torch.testing.assert_close(found[:, row, column], total / norm)


def test_non_local_means_is_its_definition() -> None:
    image = noise(3, 9, 8)
    found = non_local_means(image[None], strength=0.3, template=3, search=5)[0]
    row, column = 4, 4
    total, norm = torch.zeros(3, dtype=torch.float64), 0.0
    for down in range(-2, 3):
        for right in range(-2, 3):
            squared = 0.0
            for i in range(-1, 2):
                for j in range(-1, 2):
                    here = image[:, row + i, column + j]
                    there = image[:, row + i + down, column + j + right]
                    squared += (here - there).square().mean().item() / 9
            weight = math.exp(-squared / 0.3**2)
            total = total + weight * image[:, row + down, column + right]
            norm += weight
    torch.testing.assert_close(found[:, row, column], total / norm)


@pytest.mark.parametrize("smooth", [bilateral_filter, non_local_means])
def test_smoothing_keeps_flat_images_and_edges_but_not_noise(smooth) -> None:  # type: ignore
    flat = torch.full((1, 3, 24, 24), 0.4)
    torch.testing.assert_close(smooth(flat), flat)
    step = flat.clone()
    step[..., 12:] = 0.9
    torch.testing.assert_close(smooth(step), step, atol=1e-3, rtol=0)
    noisy = step + 0.02 * torch.randn(step.shape, generator=torch.Generator().manual_seed(0))
    assert (smooth(noisy) - step).norm() < 0.6 * (noisy - step).norm()


@pytest.mark.parametrize("smooth", [bilateral_filter, non_local_means])
def test_smoothing_differentiates_through_its_weights(smooth) -> None:  # type: ignore
    options = {"size": 3} if smooth is bilateral_filter else {"template": 3, "search": 3}
    image = noise(1, 2, 5, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: smooth(x, **options), image)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: bilateral_filter(x, size=4), "size must be odd"),
        (lambda x: bilateral_filter(x, size=99), "at most 15 for 8 x 8 images, got 99"),
        (lambda x: bilateral_filter(x, sigma_color=0), "must be > 0, got 0"),
        (lambda x: non_local_means(x, search=6), "search must be odd"),
        (lambda x: non_local_means(x, template=3, search=5, strength=0), "strength must be > 0"),
    ],
)
def test_bad_windows_are_named(call, message: str) -> None:  # type: ignore
    with pytest.raises(ValueError, match=message):
        call(torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize("side", [1, 3, 5, 7, 9, 11])
def test_box_mean_is_the_mean_over_the_window(side: int) -> None:
    image = noise(2, 2, 12, 10).requires_grad_()
    found = box_mean(image, side)
    for row, column in ((0, 0), (6, 4), (11, 9)):
        around = range(-(side // 2), side // 2 + 1)
        window = [
            image[:, :, mirrored(row + down, 12), mirrored(column + right, 10)]
            for down in around
            for right in around
        ]
        torch.testing.assert_close(found[:, :, row, column], torch.stack(window).mean(0))
    assert torch.autograd.gradcheck(lambda x: box_mean(x, side), image[:1, :1])


def test_otsu_maximises_the_variance_between_classes() -> None:
    values = torch.cat([0.2 + 0.05 * noise(1, 200), 0.7 + 0.1 * noise(1, 90, seed=1)], 1)
    values = ((values * 255).round() / 255).view(1, 10, 29)
    flat = values.flatten()

    def between(threshold: float) -> float:
        high = flat[flat > threshold]
        low = flat[flat <= threshold]
        return len(high) * len(low) * float(high.mean() - low.mean()) ** 2

    best = max(between(float(v)) for v in flat.unique()[:-1])
    assert between(_otsu(values).item()) == pytest.approx(best, rel=1e-6)


def test_box_finds_the_object() -> None:
    images = torch.full((2, 3, 96, 96), 0.3)
    stripes = 0.3 + 0.5 * ((torch.arange(40) // 2) % 2).float()
    images[0, :, 20:60, 30:70] = stripes  # vertical stripes: strong horizontal gradients
    images[1] = 0.3
    top, left, bottom, right = Localiser.for_size(96).boxes(images)[0].tolist()
    for found, wanted in ((top, 20), (left, 30), (bottom, 60), (right, 70)):
        assert abs(found - wanted) <= 6
    assert Localiser.for_size(96).boxes(images)[1].tolist() == [12, 12, 84, 84], "centre box"


def test_boxes_are_inside_and_do_not_depend_on_the_batch() -> None:
    images = noise(8, 3, 40, 56).float()
    localiser = Localiser.for_size(40)
    boxes = localiser.boxes(images)
    assert boxes.min() >= 0
    assert (boxes[:, 2] <= 40).all()
    assert (boxes[:, 3] <= 56).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    assert torch.equal(localiser.boxes(images[3:4])[0], boxes[3])


def test_box_mask_paints_the_box() -> None:
    mask = box_mask(torch.tensor([[1, 2, 3, 5], [0, 0, 4, 6]]), 4, 6)
    assert mask.shape == (2, 1, 4, 6)
    assert mask[0, 0].int().tolist() == [
        [0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0]
    ]  # fmt: skip
    assert mask[1].all()
