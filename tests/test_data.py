"""The built-in data sets are real, in range, disjoint and the same every time."""

import pytest
import torch

from sparsedef.data import (
    BUILT_IN,
    DATASETS,
    Dataset,
    load_digits,
    load_photograph,
    load_photographs,
)
from sparsedef.data.photographs import strips

pytest.importorskip("sklearn")
pytest.importorskip("PIL")


@pytest.fixture(scope="module", params=BUILT_IN)
def dataset(request: pytest.FixtureRequest) -> Dataset:
    return DATASETS[request.param](seed=0)


def test_images_are_rgb_in_range_with_labels(dataset: Dataset) -> None:
    side = dataset.test.images.shape[-1]
    for split in (dataset.train, dataset.validation, dataset.test):
        assert split.images.shape == (len(split), 3, side, side)
        assert split.images.dtype == torch.float32
        assert split.images.min() >= 0
        assert split.images.max() <= 1
        assert split.labels.dtype == torch.int64
        assert split.labels.unique().tolist() == list(range(len(dataset.classes)))
    assert len(dataset.test) >= 100


def test_parts_share_no_image(dataset: Dataset) -> None:
    ids = [*dataset.train.ids, *dataset.validation.ids, *dataset.test.ids]
    assert len(ids) == len(set(ids))


def test_the_seed_decides(dataset: Dataset) -> None:
    load = DATASETS[dataset.name]
    assert load(seed=0).test.ids == dataset.test.ids
    assert load(seed=1).test.ids != dataset.test.ids
    assert dataset.test.take(7).ids == dataset.test.ids[:7]


def test_digits_sit_on_a_black_border() -> None:
    digits = load_digits()
    assert digits.train.images[:, :, :4].max() == 0
    assert digits.train.images[:, :, 4:28, 4:28].amax((1, 2, 3)).min() > 0.5
    assert len(digits.train) + len(digits.validation) + len(digits.test) == 1797
    with pytest.raises(ValueError, match="multiple of 8, got 30"):
        load_digits(size=30)


def test_crops_are_where_their_id_says_and_parts_keep_apart() -> None:
    data = load_photographs(seed=0)
    limits = strips(427, 640, 32)
    assert limits["train"][1] + 32 <= limits["validation"][0]
    assert limits["validation"][1] + 32 <= limits["test"][0]
    for name in ("train", "validation", "test"):
        split = getattr(data, name)
        for i in range(0, len(split), 37):
            photograph, place = split.ids[i].split("/")
            row, column = map(int, place.split(","))
            assert limits[name][0] <= column <= limits[name][1] - 32
            crop = load_photograph(photograph)[:, row : row + 32, column : column + 32]
            assert torch.equal(crop, split.images[i])
            assert data.classes[split.labels[i]] == photograph


def test_an_unknown_photograph_is_named() -> None:
    with pytest.raises(ValueError, match="got 'cat'"):
        load_photograph("cat")
