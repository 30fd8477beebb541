"""Zero-shot data: no class in two parts, labels that point at the right names, nothing leaks."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sparsedef.data import load_cifar100
from sparsedef.data.class_folders_split import (
    CIFAR_FS_UNSEEN,
    CIFAR_FS_VALIDATION,
    load_cifar_fs,
    load_split_folders,
)
from sparsedef.data.class_split import ClassSplit, places
from sparsedef.data.compositions import load_compositions
from sparsedef.worlds import FILLS, SHAPES, fill_index, shape_index


@pytest.fixture(scope="module")
def world() -> ClassSplit:
    return load_compositions(size=16, n_train=60, n_validation=20, n_test=30)


def test_every_shape_and_every_fill_is_seen_but_not_every_pair(world: ClassSplit) -> None:
    seen = torch.tensor(world.seen)
    assert set(shape_index(seen).tolist()) == set(range(len(SHAPES)))
    assert set(fill_index(seen).tolist()) == set(range(len(FILLS)))
    assert (len(world.seen), len(world.validation_classes), len(world.unseen)) == (14, 5, 5)


def test_each_part_has_its_own_classes_only(world: ClassSplit) -> None:
    assert set(world.test.labels.tolist()) <= set(world.unseen)
    assert set(world.validation.labels.tolist()) <= set(world.validation_classes)
    assert set(world.held_out.labels.tolist()) <= set(world.seen)
    images, labels = world.train.batch(torch.arange(60))
    assert images.shape == (60, 3, 16, 16)
    assert set(labels.tolist()) <= set(range(14))


def test_images_are_drawn_as_their_class_and_a_longer_part_begins_with_a_shorter_one(
    world: ClassSplit,
) -> None:
    longer = load_compositions(size=16, n_train=70, n_validation=20, n_test=40)
    assert torch.equal(longer.test.images[:30], world.test.images)
    assert longer.test.ids[:30] == world.test.ids
    other = load_compositions(size=16, n_train=4, n_validation=4, n_test=4, weather="all")
    assert other.test.ids == world.test.ids[:4]
    assert not torch.equal(other.test.images, world.test.images[:4])


def test_parts_that_share_a_class_are_refused(world: ClassSplit) -> None:
    with pytest.raises(ValueError, match="1 of them twice"):
        replace(world, unseen=(*world.unseen, world.seen[0]))
    with pytest.raises(ValueError, match="5 and 0"):
        replace(world, unseen=())


def test_places_of_labels() -> None:
    assert places(torch.tensor([5, 2]), (2, 5, 9)).tolist() == [1, 0]
    with pytest.raises(AssertionError):
        places(torch.tensor([3]), (2, 5))


def write_pictures(folder: Path, count: int, tone: int) -> None:
    image = pytest.importorskip("PIL.Image")
    folder.mkdir(parents=True)
    for number in range(count):
        image.new("RGB", (20, 16), (tone, number, 0)).save(folder / f"{number}.png")


def test_folders_of_different_classes_become_one_data_set(tmp_path: Path) -> None:
    tones = {"train/cat": 10, "train/dog": 20, "val/hen": 30, "test/ant": 40, "test/bee": 50}
    for name, tone in tones.items():
        write_pictures(tmp_path / name, 20, tone)
    data = load_split_folders(tmp_path, size=16, n_evaluated=5)
    assert data.classes == ("ant", "bee", "cat", "dog", "hen")
    assert data.names(data.seen) == ("cat", "dog")
    assert data.names(data.unseen) == ("ant", "bee")
    assert (len(data.train), len(data.held_out), len(data.test)) == (36, 4, 10)
    images, labels = data.train.batch(torch.arange(36))
    tone_of = (images[:, 0, 0, 0] * 255).round()
    assert torch.equal(tone_of, torch.where(labels == 0, 10.0, 20.0))
    held = {tuple(image[:2, 0, 0].tolist()) for image in data.held_out.images}
    assert not held & {tuple(image[:2, 0, 0].tolist()) for image in images}
    assert data.test.labels[:2].sort().values.tolist() == [0, 1]  # not class by class
    tones_of = {0: 40, 1: 50}
    expected = [tones_of[label] / 255 for label in data.test.labels.tolist()]
    assert data.test.images[:, 0, 0, 0].tolist() == pytest.approx(expected)


def test_a_missing_folder_and_a_class_in_two_parts_are_named(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train/cat", 2, 1)
    write_pictures(tmp_path / "test/cat", 2, 1)
    with pytest.raises(FileNotFoundError, match="no validation"):
        load_split_folders(tmp_path, size=16)
    write_pictures(tmp_path / "val/dog", 2, 1)
    with pytest.raises(ValueError, match="1 of them twice"):
        load_split_folders(tmp_path, size=16)


def test_cifar_fs_divides_the_hundred_classes(tmp_path: Path) -> None:
    names = [*CIFAR_FS_UNSEEN, *CIFAR_FS_VALIDATION, *(f"seen_{i}" for i in range(64))]
    for part, count in (("train", 2), ("test", 1)):
        for name in names:
            write_pictures(tmp_path / part / name, count, 7)
    data = load_cifar_fs(tmp_path)
    assert load_cifar100(tmp_path).classes == data.classes
    assert data.names(data.unseen) == CIFAR_FS_UNSEEN
    assert (len(data.seen), len(data.train), len(data.held_out)) == (64, 128, 64)
    assert (len(data.validation), len(data.test)) == (48, 60)
    assert data.test.labels.bincount(minlength=100)[list(data.unseen)].tolist() == [3] * 20
