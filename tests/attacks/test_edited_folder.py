"""Edits made elsewhere: the worst of each image's own, from tensors or from files."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sparsedef.attacks import EditedFolder


def bright(images: Tensor) -> Tensor:
    """Class 1 where the mean exceeds 0.5."""
    score = images.mean((1, 2, 3)) - 0.5
    return torch.stack([-score, score], 1)


def grey(*levels: float) -> Tensor:
    return torch.stack([torch.full((3, 8, 8), level) for level in levels])


IMAGES = grey(0.4, 0.3, 0.6)
LABELS = torch.zeros(3, dtype=torch.long)
EDITS = {"a": grey(0.1, 0.7, 0.9, 0.8), "b": grey(0.2, 0.45), "c": grey(0.3)}


def test_keeps_the_worst_edit_of_each_image_the_unedited_one_included() -> None:
    result = EditedFolder(EDITS, ["a", "b", "c"])(bright, IMAGES, LABELS)
    torch.testing.assert_close(result.images, grey(0.9, 0.45, 0.6))
    assert result.success.tolist() == [True, False, True]
    assert result.health.asked == []


def test_other_images_have_their_own_edits() -> None:
    attack = EditedFolder(EDITS, ["a", "b", "c"])
    part = attack.of(["c", "a"])(bright, IMAGES[[2, 0]], LABELS[:2])
    torch.testing.assert_close(part.images, grey(0.6, 0.9))
    with pytest.raises(ValueError, match=r"the 3 of ids, got 2 .*attack\.of"):
        attack(bright, IMAGES[:2], LABELS[:2])


def test_an_answer_of_nan_has_fallen() -> None:
    def fails_on_dark(images: Tensor) -> Tensor:
        is_dark = images.mean((1, 2, 3)) < 0.15
        return torch.where(is_dark[:, None], torch.nan, bright(images))

    attack = EditedFolder({"b": grey(0.2, 0.1)}, ["b"])
    result = attack(fails_on_dark, IMAGES[1:2], LABELS[:1])
    assert result.success.all()
    torch.testing.assert_close(result.images, grey(0.1))


def test_a_random_model_falls_to_the_edit_with_most_errors() -> None:
    class Noisy(torch.nn.Module):
        is_random = True

        def forward(self, images: Tensor) -> Tensor:
            return bright(images + 0.1 * torch.randn(len(images), 1, 1, 1))

    attack = EditedFolder({"a": grey(0.42, 0.58, 0.47)}, ["a"], draws=200)
    result = attack(Noisy(), IMAGES[:1], LABELS[:1])
    torch.testing.assert_close(result.images, grey(0.58))
    assert 0.6 < result.error_rate.item() < 0.95


def test_reads_the_pictures_of_each_id_from_its_folder(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name, edits in EDITS.items():
        (tmp_path / "dogs" / name).mkdir(parents=True)
        for number, edit in enumerate(edits):
            pixels = (edit * 255).round().byte().permute(1, 2, 0).numpy()
            image.fromarray(pixels).save(tmp_path / "dogs" / name / f"{number}.png")
    (tmp_path / "dogs" / "a" / "notes.txt").write_text("not a picture")
    ids = ["dogs/a", "dogs/b", "dogs/c"]
    result = EditedFolder(tmp_path, ids)(bright, IMAGES, LABELS)
    torch.testing.assert_close(result.images, grey(0.9, 0.45, 0.6), atol=1 / 255, rtol=0)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*dogs/d"):
        EditedFolder(tmp_path, ["dogs/d"])
    (tmp_path / "dogs" / "d").mkdir()
    with pytest.raises(ValueError, match="must hold pictures, got none"):
        EditedFolder(tmp_path, ["dogs/d"])
    wrong_size = IMAGES.repeat(1, 1, 2, 2)
    with pytest.raises(ValueError, match="different sizes"):
        EditedFolder(tmp_path, ids)(bright, wrong_size, LABELS)


def test_bad_edits_are_named() -> None:
    with pytest.raises(ValueError, match="some of every id, not 'z'"):
        EditedFolder(EDITS, ["a", "z"])
    with pytest.raises(TypeError, match="ids must be a sequence of names, got 'a'"):
        EditedFolder(EDITS, "a")
    with pytest.raises(ValueError, match=r"edits of 'a'.* lie in \[0, 1\]"):
        EditedFolder({"a": grey(1.5)}, ["a"])(bright, IMAGES[:1], LABELS[:1])
    with pytest.raises(ValueError, match=r"images \[3, 8, 8\] like theirs, got \[1, 3, 4, 4\]"):
        EditedFolder({"a": grey(0.5)[..., :4, :4]}, ["a"])(bright, IMAGES[:1], LABELS[:1])
