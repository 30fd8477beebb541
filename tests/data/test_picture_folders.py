"""Folders of pictures: layouts, squares cut from the middle, broken files named."""

from pathlib import Path

import pytest
import torch
from small_files import write_class_folders, write_picture

from sparsedef.data import load_folder

pytest.importorskip("PIL")


def test_a_plain_folder_is_divided_by_the_seed(tmp_path: Path) -> None:
    write_class_folders(tmp_path, {"cat": 20, "dog": 10})
    data = load_folder(tmp_path, seed=1)
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.validation), len(data.test)) == (21, 3, 6)
    ids = [*data.train.ids, *data.validation.ids, *data.test.ids]
    assert sorted(ids) == sorted(
        [f"cat/{i}.png" for i in range(20)] + [f"dog/{i}.png" for i in range(10)]
    )
    assert data.test.labels.bincount().tolist() == [4, 2]
    assert data.test.images.shape == (6, 3, 8, 8)
    for image, label, name in zip(
        data.train.images, data.train.labels, data.train.ids, strict=True
    ):
        assert data.classes[label] == name.split("/")[0]
        assert image.unique().tolist() == pytest.approx([20 * label.item() / 255])
    assert load_folder(tmp_path, seed=1, n_train=5).test.ids == data.test.ids
    assert load_folder(tmp_path, seed=2).test.ids != data.test.ids


@pytest.mark.parametrize("held_out", ["val", "valid", "validation"])
def test_parts_are_taken_as_they_are(tmp_path: Path, held_out: str) -> None:
    counts = {"a": 4, "b": 6}
    for part, add in (("train", 6), (held_out, 0), ("test", 1)):
        write_class_folders(tmp_path / part, {name: n + add for name, n in counts.items()})
    data = load_folder(tmp_path)
    sizes = {"train": 22, held_out: 10, "test": 12}
    for part, split in zip(sizes, (data.train, data.validation, data.test), strict=True):
        assert len(split) == sizes[part]
        assert all(name.startswith(f"{part}/") for name in split.ids)


def test_without_a_validation_part_a_tenth_of_training_is_set_apart(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_class_folders(tmp_path / part, {"a": 10, "b": 10})
    data = load_folder(tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 20)
    assert not set(data.train.ids) & set(data.validation.ids)
    assert all(name.startswith("train/") for name in data.validation.ids)


def test_validation_alone_is_the_test_part(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write_class_folders(tmp_path / part, {"a": 10, "b": 10})
    data = load_folder(tmp_path)
    assert all(name.startswith("val/") for name in data.test.ids)
    assert all(name.startswith("train/") for name in data.validation.ids)
    assert "test from val/" in data.source


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_class_folders(tmp_path, {"car": 5, "train": 5})
    assert load_folder(tmp_path).classes == ("car", "train")


def test_the_middle_is_kept_and_the_short_side_fits(tmp_path: Path) -> None:
    from PIL import Image

    for name, (width, height) in {"wide": (60, 20), "tall": (20, 60)}.items():
        picture = Image.new("RGB", (width, height), (255, 0, 0))
        left, top = (width - 20) // 2, (height - 20) // 2
        picture.paste((0, 255, 0), (left, top, left + 20, top + 20))
        for row in range(5):
            (tmp_path / name).mkdir(exist_ok=True)
            picture.save(tmp_path / name / f"{row}.png")
    for size in (10, 20, 40):
        images = load_folder(tmp_path, size=size).train.images
        assert images.shape[1:] == (3, size, size)
        inner = images[:, :, 3:-3, 3:-3]  # off the edge, which bicubic blurs
        assert inner[:, 1].min() > 0.9
        assert inner[:, 0].max() < 0.1


def test_shrinking_averages_fine_detail_away(tmp_path: Path) -> None:
    from PIL import Image

    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 255
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for row in range(3):
            Image.fromarray(board.byte().numpy()).convert("RGB").save(
                tmp_path / name / f"{row}.png"
            )
    images = load_folder(tmp_path, size=8).train.images
    assert (images - 0.5).abs().max() < 0.05


def test_grey_and_palette_pictures_become_rgb(tmp_path: Path) -> None:
    from PIL import Image

    for name, mode in (("grey", "L"), ("palette", "P"), ("alpha", "RGBA")):
        (tmp_path / name).mkdir()
        for row in range(3):
            Image.new("RGB", (8, 8), (102, 102, 102)).convert(mode).save(
                tmp_path / name / f"{row}.png"
            )
    images = load_folder(tmp_path).train.images
    assert images.shape[1:] == (3, 8, 8)
    assert (images * 255).round().unique().tolist() == [102]  # a grey that the palette has


def test_sizes_that_differ_need_a_size(tmp_path: Path) -> None:
    write_class_folders(tmp_path, {"a": 5})
    write_picture(tmp_path / "b" / "0.png", 9, 9)
    with pytest.raises(ValueError, match=r"8 x 8 and 9 x 9 in .*b/0\.png \(pass size\)"):
        load_folder(tmp_path)
    write_picture(tmp_path / "a" / "0.png", 8, 12)
    with pytest.raises(ValueError, match=r"0\.png is 8 x 12, not square \(pass size\)"):
        load_folder(tmp_path)
    assert load_folder(tmp_path, size=6).train.images.shape[1:] == (3, 6, 6)
    with pytest.raises(ValueError, match="size must be at least 1 pixel, got 0"):
        load_folder(tmp_path, size=0)


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    write_class_folders(tmp_path, {"a": 5, "b": 5})
    path = tmp_path / "b" / "3.png"
    for content in (b"no picture", path.read_bytes()[:50]):
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"load_folder: .*b/3\.png cannot be read as a picture"
        ):
            load_folder(tmp_path, size=8)


def test_sixteen_bits_are_not_clipped_in_silence(tmp_path: Path) -> None:
    from PIL import Image

    write_class_folders(tmp_path, {"a": 5, "b": 5})
    Image.new("I;16", (8, 8), 4000).save(tmp_path / "b" / "3.png")
    with pytest.raises(ValueError, match=r"b/3\.png has more than 8 bits a channel"):
        load_folder(tmp_path)


def test_a_layout_that_does_not_fit_says_what_would(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must hold one folder of \.png or \.jpg files per class"):
        load_folder(tmp_path)
    write_class_folders(tmp_path / "train", {"a": 2, "b": 2})
    with pytest.raises(FileNotFoundError, match=r"holds train/ but no test/ or validation/"):
        load_folder(tmp_path)
    write_class_folders(tmp_path / "test", {"a": 2, "B": 2})
    with pytest.raises(ValueError, match=r"test/B is none of the 2 classes \(a, b\)"):
        load_folder(tmp_path)
    (tmp_path / "test" / "B").rename(tmp_path / "test" / "b")
    for path in (tmp_path / "train" / "b").iterdir():
        path.rename(path.with_suffix(".txt"))
    with pytest.raises(ValueError, match=r"train/b must hold pictures .* has none"):
        load_folder(tmp_path)


def test_hidden_files_are_no_pictures(tmp_path: Path) -> None:
    write_class_folders(tmp_path, {"a": 5, "b": 5})
    (tmp_path / "a" / "._0.png").write_bytes(b"what a desktop left here")
    (tmp_path / ".cache").mkdir()
    data = load_folder(tmp_path)
    assert data.classes == ("a", "b")
    assert len(data.train) + len(data.validation) + len(data.test) == 10
