"""Patches: every pixel is covered, nothing is lost, and the gradient is exact."""

import pytest
import torch

from sparsedef import extract_patches, merge_patches, patch_omp
from sparsedef.solvers.patch_omp import standardize_patches

SIZES = [(8, 8, 4, 1), (9, 7, 3, 2), (10, 11, 4, 4), (5, 5, 5, 5), (13, 6, 3, 3), (4, 9, 1, 1)]


@pytest.mark.parametrize(("height", "width", "size", "stride"), SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_extract_then_merge_is_the_identity(
    channels: int, height: int, width: int, size: int, stride: int
) -> None:
    images = torch.rand(2, channels, height, width, dtype=torch.float64)
    patches = extract_patches(images, size, stride)
    rebuilt = merge_patches(patches, (height, width), size, stride)
    torch.testing.assert_close(rebuilt, images, atol=1e-15, rtol=0)


@pytest.mark.parametrize(("height", "width", "size", "stride"), SIZES)
def test_patches_are_the_windows_in_row_order(
    height: int, width: int, size: int, stride: int
) -> None:
    images = torch.rand(1, 2, height, width)
    patches = extract_patches(images, size, stride)[0]
    tops = [min(i, height - size) for i in range(0, height - size + stride, stride)]
    lefts = [min(i, width - size) for i in range(0, width - size + stride, stride)]
    windows = [images[0, :, i : i + size, j : j + size].flatten() for i in tops for j in lefts]
    assert torch.equal(patches, torch.stack(windows))


def test_merge_averages_overlaps() -> None:
    patches = torch.tensor([[[1.0, 1.0, 1.0, 1.0], [3.0, 3.0, 3.0, 3.0]]])
    assert merge_patches(patches, (2, 3), size=2).tolist() == [[[[1, 2, 3], [1, 2, 3]]]]


@pytest.mark.parametrize("standardize", ["mean", "zscore"])
def test_standardized_patches_are_standard(standardize: str) -> None:
    patches = 5 + 3 * torch.randn(2, 40, 9, dtype=torch.float64)
    standard, shift, scale = standardize_patches(patches, standardize)
    torch.testing.assert_close(standard * scale + shift, patches)
    dim = 2 if standardize == "mean" else 1
    assert standard.mean(dim=dim).abs().max() < 1e-12
    if standardize == "zscore":
        torch.testing.assert_close(standard.square().mean(dim=1), torch.ones(2, 9).double())


def test_a_flat_image_has_a_finite_gradient() -> None:
    images = torch.full((1, 1, 6, 6), 0.5, requires_grad=True)
    patch_omp(images, torch.eye(9), 2, standardize="zscore").images.square().sum().backward()
    assert images.grad.isfinite().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: extract_patches(torch.zeros(3, 8, 8), 3), r"must be \[B, C, H, W\]"),
        (lambda: extract_patches(torch.zeros(1, 1, 8, 8), 9), "at most the image's side 8, got 9"),
        (lambda: extract_patches(torch.zeros(1, 1, 8, 8), 3, 4), "pixels missed"),
        (lambda: merge_patches(torch.zeros(1, 5, 9), (8, 8), 3), r"must be \[B, 36, C \* 9\]"),
        (lambda: patch_omp(torch.zeros(1, 3, 8, 8), torch.eye(16), 1), "3 channels"),
        (lambda: patch_omp(torch.zeros(8, 8), torch.eye(16), 1), r"must be \[B, C, H, W\]"),
    ],
)
def test_bad_input_is_explained(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
