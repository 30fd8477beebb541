"""CIFAR is read from its published forms: right pixels and labels, safely, or one clear line."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from small_files import (
    CIFAR10_NAMES,
    cifar_arrays,
    pickled_array,
    pickled_file,
    write_cifar10_binary,
    write_cifar10_python,
    write_picture,
)

from sparsedef.data import load_cifar10, load_cifar100


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("binary")
    write_cifar10_binary(root)
    return root


def test_each_image_has_the_pixels_and_the_label_of_its_row(binary: Path) -> None:
    data = load_cifar10(binary)
    assert data.classes == tuple(CIFAR10_NAMES)
    assert (len(data.train), len(data.validation), len(data.test)) == (90, 10, 20)
    for split in (data.train, data.validation, data.test):
        for image, label, name in zip(split.images, split.labels, split.ids, strict=True):
            path, row = name.split(":")
            record = (binary / path).read_bytes()[int(row) * 3073 :][:3073]
            expected = np.frombuffer(record[1:], np.uint8).reshape(3, 32, 32)
            assert torch.equal((image * 255).round().byte(), torch.tensor(expected))
            assert label == record[0]


def test_parts_are_disjoint_whatever_the_limits(binary: Path) -> None:
    whole = load_cifar10(binary, seed=3)
    few = load_cifar10(binary, seed=3, n_train=7, n_validation=4, n_test=5)
    assert (len(few.train), len(few.validation), len(few.test)) == (7, 4, 5)
    ids = [*whole.train.ids, *whole.validation.ids, *whole.test.ids]
    assert len(set(ids)) == 120
    assert all("test_batch" in name for name in whole.test.ids)
    for part in ("train", "validation", "test"):
        kept = getattr(few, part).ids
        assert kept == getattr(whole, part).ids[: len(kept)]
    assert few.test.ids != load_cifar10(binary, seed=4, n_test=5).test.ids


def test_every_beginning_of_a_part_holds_the_classes_in_proportion(binary: Path) -> None:
    labels = load_cifar10(binary).test.labels
    for count in range(1, 21):
        shares = labels[:count].bincount(minlength=10)
        assert shares.max() - shares.min() <= 1


def test_the_python_form_gives_the_same_images(binary: Path, tmp_path: Path) -> None:
    write_cifar10_python(tmp_path)
    one, other = load_cifar10(binary), load_cifar10(tmp_path)
    assert one.classes == other.classes
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(one, part).images, getattr(other, part).images)
        assert torch.equal(getattr(one, part).labels, getattr(other, part).labels)
    # the folder that the archive unpacks to may be the root itself
    assert len(load_cifar10(tmp_path / "cifar-10-batches-py").test) == 20


def test_pickles_written_anew_by_python_3_are_read(tmp_path: Path) -> None:
    write_cifar10_python(tmp_path)
    pixels, labels = cifar_arrays(20, 10, 5)
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    expected = load_cifar10(tmp_path).test.images
    for protocol in (2, 4):
        path.write_bytes(pickle.dumps({"data": pixels, "labels": labels}, protocol))
        assert torch.equal(load_cifar10(tmp_path).test.images, expected)


class Harmful:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


def test_a_pickle_that_calls_something_is_refused_before_it_does(tmp_path: Path) -> None:
    write_cifar10_python(tmp_path)
    trace = tmp_path / "was here"
    path = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(pickle.dumps({"data": Harmful(trace)}, 2))
    with pytest.raises(ValueError, match=r"data_batch_3 asks to call \w+.mkdir, .* not called"):
        load_cifar10(tmp_path)
    assert not trace.exists()


def test_a_codec_other_than_latin1_is_refused(tmp_path: Path) -> None:
    write_cifar10_python(tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.")
    with pytest.raises(ValueError, match=r"_codecs\.encode with 'rot13'"):
        load_cifar10(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02}(U", "not a whole pickle"),
        (pickle.dumps([1, 2]), "must hold a dictionary, got list"),
        (pickled_file({b"data": pickled_array(np.zeros((2, 5), np.uint8))}), r"uint8 \[n, 3072\]"),
        (pickled_file({b"data": pickled_array(np.zeros((2, 3072), np.uint8))}), "hold labels"),
    ],
    ids=["cut off", "a list", "wrong width", "no labels"],
)
def test_a_pickle_of_something_else_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    write_cifar10_python(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(content)
    with pytest.raises(ValueError, match=f"load_cifar10: .*test_batch .*{message}"):
        load_cifar10(tmp_path)


def test_cifar100_takes_the_fine_label(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    names = [f"class{i}" for i in range(100)]
    (folder / "fine_label_names.txt").write_text("\n".join(names))
    for name, n in (("train.bin", 200), ("test.bin", 100)):
        pixels, labels = cifar_arrays(n, 100, seed=n)
        rows = [
            bytes([label // 5, label]) + row.tobytes()
            for label, row in zip(labels, pixels, strict=True)
        ]
        (folder / name).write_bytes(b"".join(rows))
    data = load_cifar100(tmp_path)
    assert data.classes == tuple(names)
    assert sorted(data.test.labels.tolist()) == list(range(100))
    pixels, labels = cifar_arrays(100, 100, seed=100)
    row = int(data.test.ids[0].split(":")[1])
    assert data.test.labels[0] == labels[row]
    assert torch.equal(
        (data.test.images[0].flatten() * 255).round().byte(), torch.tensor(pixels[row])
    )


def test_png_folders_are_read(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    for part, count in (("train", 10), ("test", 2)):
        for label, name in enumerate(CIFAR10_NAMES):
            for row in range(count):
                write_picture(tmp_path / part / name / f"{row}.png", 32, 32, value=10 * label)
    data = load_cifar10(tmp_path)
    assert data.classes == tuple(CIFAR10_NAMES)
    assert (len(data.train), len(data.validation), len(data.test)) == (90, 10, 20)
    assert torch.equal((data.test.images[:, 0, 5, 5] * 25.5).round().long(), data.test.labels)


def test_another_size_is_resized(binary: Path) -> None:
    pytest.importorskip("PIL")
    small, large = load_cifar10(binary, n_test=3), load_cifar10(binary, n_test=3, size=64)
    assert large.test.images.shape == (3, 3, 64, 64)
    assert large.test.ids == small.test.ids
    means = [data.test.images.mean((1, 2, 3)) for data in (small, large)]
    assert torch.allclose(*means, atol=0.01)  # bicubic: noise clipped at 0 and 255
    assert load_cifar10(binary, n_test=3, size=8).test.images.shape == (3, 3, 8, 8)


def test_what_is_missing_is_said_in_one_line(binary: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="root must be the folder with CIFAR-10"):
        load_cifar10()
    with pytest.raises(FileNotFoundError, match="no folder '/nowhere'"):
        load_cifar10("/nowhere")
    with pytest.raises(FileNotFoundError, match=r"cifar-10-batches-bin/test_batch\.bin") as caught:
        load_cifar10(tmp_path)
    assert "\n" not in str(caught.value)
    write_cifar10_binary(tmp_path)
    (tmp_path / "cifar-10-batches-bin" / "data_batch_4.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no data_batch_4\.bin"):
        load_cifar10(tmp_path)


def test_a_file_that_is_cut_off_or_of_another_set_is_named(tmp_path: Path) -> None:
    write_cifar10_binary(tmp_path)
    path = tmp_path / "cifar-10-batches-bin" / "test_batch.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="whole records of 3073 bytes, has 61459"):
        load_cifar10(tmp_path)
    path.write_bytes(b"\x0a" + whole[1:])
    with pytest.raises(ValueError, match="labels outside 0 to 9, so it is not CIFAR-10"):
        load_cifar10(tmp_path)


@pytest.mark.parametrize("limits", [{"n_test": 21}, {"n_train": 91}, {"n_validation": -1}])
def test_more_than_there_is_is_refused(binary: Path, limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"load_cifar10: n_\w+ must be from 0 to (20|90|10),"):
        load_cifar10(binary, **limits)


def test_images_beyond_the_memory_are_refused(binary: Path) -> None:
    pytest.importorskip("PIL")
    with pytest.raises(ValueError, match=r"120 images of 99999 x 99999 need 14400 GB"):
        load_cifar10(binary, size=99_999)
