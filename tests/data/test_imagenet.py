"""ImageNet and its small sisters: layouts, labels that fit a network for all classes."""

import json
from pathlib import Path

import pytest
import torch
from small_files import write_class_folders, write_picture

from sparsedef.data import load_imagenet, load_imagenette, load_imagewoof
from sparsedef.data.imagenette import IMAGENETTE, IMAGEWOOF

pytest.importorskip("PIL")

SYNSETS = ("n01440764", "n01443537", "n01484850")
NAMES = ("tench", "goldfish", "great white shark")


def write_flat(folder: Path, n: int = 9) -> list[str]:
    """``ILSVRC2012_val_00000001.JPEG`` and so on; returns the synset of each, 0, 1, 2, 0, ..."""
    for i in range(n):
        write_picture(folder / f"ILSVRC2012_val_{i + 1:08}.JPEG", 20, 16, value=60 * (i % 3))
    return [SYNSETS[i % 3] for i in range(n)]


def greys_fit(images: torch.Tensor, labels: torch.Tensor) -> bool:
    """Whether each picture has the grey of its class, within what JPEG changes."""
    return bool(((images.mean((1, 2, 3)) * 255 - 60 * labels).abs() < 3).all())


def test_folders_by_synset_are_the_usual_layout(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "train", dict.fromkeys(SYNSETS, 10), ".JPEG")
    write_class_folders(tmp_path / "val", dict.fromkeys(SYNSETS, 4), ".JPEG")
    data = load_imagenet(tmp_path, size=8, n_train=6)
    assert (len(data.train), len(data.validation), len(data.test)) == (6, 3, 12)
    assert data.classes == SYNSETS
    assert all(name.startswith("val/n0") for name in data.test.ids)
    assert all(name.startswith("train/n0") for name in (*data.train.ids, *data.validation.ids))
    assert data.train.labels.bincount().tolist() == [2, 2, 2]


def test_val_alone_is_divided(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "val", dict.fromkeys(SYNSETS, 10), ".JPEG")
    data = load_imagenet(tmp_path, size=8)
    assert (len(data.train), len(data.validation), len(data.test)) == (21, 3, 6)
    assert len({*data.train.ids, *data.validation.ids, *data.test.ids}) == 30
    assert "val/ alone, divided by seed 0" in data.source


@pytest.mark.parametrize("form", ["txt", "json"])
def test_a_class_map_names_and_numbers_all_classes(tmp_path: Path, form: str) -> None:
    write_class_folders(tmp_path / "val", {SYNSETS[2]: 10}, ".JPEG")
    if form == "txt":
        lines = [f"{s} {name}, another name" for s, name in zip(SYNSETS, NAMES, strict=True)]
        (tmp_path / "LOC_synset_mapping.txt").write_text("\n".join(lines))
    else:
        pairs = {str(i): pair for i, pair in enumerate(zip(SYNSETS, NAMES, strict=True))}
        (tmp_path / "imagenet_class_index.json").write_text(json.dumps(pairs))
    data = load_imagenet(tmp_path, size=8)
    assert data.classes == NAMES
    assert data.test.labels.unique().tolist() == [2]


def test_names_that_two_classes_share_are_told_apart(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "val", {SYNSETS[0]: 10}, ".JPEG")
    (tmp_path / "synset_words.txt").write_text(
        f"{SYNSETS[0]} crane\n{SYNSETS[1]} crane\n{SYNSETS[2]} shark\n"
    )
    assert load_imagenet(tmp_path, size=8).classes == (
        f"crane ({SYNSETS[0]})", f"crane ({SYNSETS[1]})", "shark",
    )  # fmt: skip


def kaggle(names: list[str], synsets: list[str]) -> str:
    rows = [f"{name},{s} 85 1 499 272" for name, s in zip(names, synsets, strict=True)]
    return "\n".join(["ImageId,PredictionString", *reversed(rows)])


@pytest.mark.parametrize(
    ("file", "write"),
    [
        ("LOC_val_solution.csv", kaggle),
        ("imagenet_2012_validation_synset_labels.txt", lambda names, s: "\n".join(s)),
        ("val_labels.txt", lambda names, s: "\n".join(str(SYNSETS.index(x)) for x in s)),
        (
            "val.txt",
            lambda names, s: "\n".join(
                f"{n}.JPEG {SYNSETS.index(x)}" for n, x in zip(names, s, strict=True)
            ),
        ),
    ],
)
@pytest.mark.parametrize("kaggle_folder", [False, True])
def test_a_flat_val_takes_its_labels_from_a_file(
    tmp_path: Path, file: str, write: object, kaggle_folder: bool
) -> None:
    base = tmp_path / "ILSVRC/Data/CLS-LOC" if kaggle_folder else tmp_path
    synsets = write_flat(base / "val")
    names = [f"ILSVRC2012_val_{i + 1:08}" for i in range(9)]
    assert callable(write)
    (tmp_path / file).write_text(write(names, synsets))
    data = load_imagenet(tmp_path, size=8)
    for split in (data.train, data.validation, data.test):
        assert greys_fit(split.images, split.labels)
    assert data.classes in (SYNSETS, ("0", "1", "2"))


def test_labels_that_do_not_fit_are_named(tmp_path: Path) -> None:
    synsets = write_flat(tmp_path / "val")
    with pytest.raises(FileNotFoundError, match=r"must hold their labels, as one of LOC_val"):
        load_imagenet(tmp_path)
    labels = tmp_path / "val_labels.txt"
    labels.write_text("\n".join(synsets[:-1]))
    with pytest.raises(ValueError, match=r"a label for each of the 9 pictures .*, has 8"):
        load_imagenet(tmp_path)
    labels.write_text("\n".join(f"other_{i} {s}" for i, s in enumerate(synsets)))
    with pytest.raises(ValueError, match=r"has no label for 9 pictures: ILSVRC2012_val_00000001"):
        load_imagenet(tmp_path)
    labels.write_text("\n".join(["bird", *synsets[1:]]))
    with pytest.raises(ValueError, match=r"the label 'bird' of val/ is none of the 3 classes"):
        load_imagenet(tmp_path)


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    for _ in range(2):  # without val/, then with an empty one
        with pytest.raises(FileNotFoundError, match=r"must hold ImageNet: val/SYNSET") as caught:
            load_imagenet(tmp_path)
        assert "\n" not in str(caught.value)
        (tmp_path / "val").mkdir(exist_ok=True)
    write_class_folders(tmp_path / "val", {"cat": 2})
    with pytest.raises(ValueError, match=r"named after synsets, .* got 'cat' \(for other classes"):
        load_imagenet(tmp_path)
    (tmp_path / "LOC_synset_mapping.txt").write_text("tench n01440764")
    with pytest.raises(ValueError, match=r"must name each class by its own synset"):
        load_imagenet(tmp_path)


def test_the_margin_around_the_centre_is_cut_off(tmp_path: Path) -> None:
    from PIL import Image

    picture = Image.new("RGB", (256, 256), (255, 0, 0))
    picture.paste((0, 255, 0), (16, 16, 240, 240))
    for i in range(10):
        path = tmp_path / "val" / SYNSETS[0] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    image = load_imagenet(tmp_path).test.images[0]
    assert image.shape == (3, 224, 224)
    assert image[1].min() == 1
    assert image[0].max() == 0


@pytest.mark.parametrize("name", ["imagenette", "imagewoof"])
def test_the_small_sisters_are_found_in_their_folder(tmp_path: Path, name: str) -> None:
    load, classes = {
        "imagenette": (load_imagenette, IMAGENETTE),
        "imagewoof": (load_imagewoof, IMAGEWOOF),
    }[name]
    base = tmp_path / f"{name}2-160"
    for part, count in (("train", 3), ("val", 1)):
        write_class_folders(base / part, dict.fromkeys(reversed(classes), count), ".JPEG")
    data = load(tmp_path, size=8)
    assert data.classes == tuple(classes.values())
    assert list(classes) == sorted(classes)
    assert (len(data.train), len(data.validation), len(data.test)) == (27, 3, 10)
    for label, path in zip(data.train.labels, data.train.ids, strict=True):
        assert path.startswith(f"{name}2-160/train/{list(classes)[label]}/")
    assert load(base, size=8).test.labels.tolist() == data.test.labels.tolist()
    (tmp_path / f"{name}2-320").mkdir()
    base_copy = tmp_path / f"{name}2-320"
    for part in ("train", "val"):
        write_class_folders(base_copy / part, {next(iter(classes)): 1}, ".JPEG")
    with pytest.raises(ValueError, match=r"2-160, .*2-320 \(pass one of them as root\)"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"must have all ten classes, has no n0"):
        load(base_copy)
    with pytest.raises(FileNotFoundError, match=rf"must hold {name}: train/SYNSET"):
        load(base / "train")
