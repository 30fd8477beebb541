"""Growing, shrinking, the largest blob and its holes are what scipy makes of them."""

import pytest
import torch
from torch import Tensor

from sparsedef.defenses.filters.blobs import dilate, erode, fill_holes, largest_blob

ndimage = pytest.importorskip("scipy.ndimage")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_morphology_agrees_with_scipy() -> None:
    mask = noise(4, 20, 17) > 0.7
    square = torch.ones(5, 5).numpy()
    for one, found, eroded in zip(mask, dilate(mask, 2), erode(mask, 2), strict=True):
        wanted = torch.from_numpy(ndimage.binary_dilation(one.numpy(), square))
        assert torch.equal(found, wanted)
        wanted = torch.from_numpy(ndimage.binary_erosion(one.numpy(), square, border_value=1))
        assert torch.equal(eroded, wanted)


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6])
def test_largest_blob_agrees_with_scipy(share: float) -> None:
    masks = noise(6, 31, 26) < share
    masks[5] = False
    for mask, found in zip(masks, largest_blob(masks), strict=True):
        label, count = ndimage.label(mask.numpy(), structure=torch.ones(3, 3).numpy())
        sizes = [int((label == i).sum()) for i in range(1, count + 1)]
        assert int(found.sum()) == max(sizes, default=0)
        if sizes:
            assert len({int(i) for i in label[found.numpy()]}) == 1


def test_a_spiral_is_one_blob() -> None:
    mask = torch.zeros(1, 33, 33, dtype=torch.bool)
    row, column, step = 0, 0, 32
    for turn in range(16):
        for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            for _ in range(max(0, step - 2 * turn - (2 if (down, right) == (-1, 0) else 0))):
                mask[0, row, column] = True
                row, column = row + down, column + right
        row, column = row, column + 2
    label, count = ndimage.label(mask[0].numpy(), structure=torch.ones(3, 3).numpy())
    sizes = [int((label == i).sum()) for i in range(1, count + 1)]
    assert int(largest_blob(mask).sum()) == max(sizes)


@pytest.mark.parametrize("share", [0.0, 0.4, 0.6, 0.8, 1.0])
def test_filled_holes_agree_with_scipy(share: float) -> None:
    masks = noise(6, 23, 31) < share
    for mask, found in zip(masks, fill_holes(masks), strict=True):
        wanted = torch.from_numpy(ndimage.binary_fill_holes(mask.numpy()))
        assert torch.equal(found, wanted)


def test_no_image_has_no_blob() -> None:
    none = torch.zeros(0, 9, 9, dtype=torch.bool)
    assert largest_blob(none).shape == fill_holes(none).shape == (0, 9, 9)
