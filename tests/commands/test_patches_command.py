"""``sparsedef patches``: what RegionSparse.fit would draw, in a file that sparsedef learn takes."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparsedef import lasso
from sparsedef.commands import patch_job, patches
from sparsedef.data import load_digits
from sparsedef.defenses import RegionSparse, RegionSparseSizes
from sparsedef.defenses.patch_dictionary import BATCH, spread, training_patches
from sparsedef.streams import learn

pytest.importorskip("sklearn")


def call(out: Path, *options: str) -> int:
    parser = argparse.ArgumentParser()
    patches.add_arguments(parser)
    return patches.run(parser.parse_args(["--out", str(out), "--threads", "1", *options]))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def sorted_rows(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T)]


@pytest.mark.parametrize("options", [(), ("--without", "IS", "PN"), ("--patches", "channel")])
def test_the_file_holds_the_patches_of_the_fit(tmp_path: Path, options: tuple[str, ...]) -> None:
    out = tmp_path / "p.npy"
    assert call(out, "--quiet", *options) == 0
    rows = np.load(out)
    sizes = RegionSparseSizes.for_size(32, "channel" if "channel" in options else "colour")
    recipe = sizes.recipe([each for each in options if each in ("IS", "PN")])
    wanted = training_patches(load_digits().train.images[:200], recipe)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(sorted_rows(rows), sorted_rows(wanted.numpy()), atol=2e-6)
    assert not np.array_equal(rows, wanted.numpy()), "neighbours are of different images"
    about = json.loads((tmp_path / "p.npy.json").read_text())
    alpha = spread(wanted) if "PN" in options else 1.0
    assert about["alpha"] == pytest.approx(alpha, rel=1e-5)
    assert contents(tmp_path).keys() == {"p.npy", "p.npy.json"}


def objective(x: Tensor, atoms: Tensor) -> float:
    code = lasso(x, torch.nn.functional.normalize(atoms, dim=1), 1.0)
    return float((code.residual.square().sum(1) / 2 + code.codes.abs().sum(1)).mean())


def test_learn_makes_of_it_a_dictionary_as_good_as_the_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(tmp_path / "p.npy") == 0
    told = capsys.readouterr().out
    assert "8000 patches of 48 numbers from 200 images of digits" in told
    assert f"--n-atoms 128 --alpha 1 --n-epochs 4 --batch-size {BATCH}" in told
    learn(
        [tmp_path / "p.npy"], tmp_path / "d.npy", 128, alpha=1.0, n_epochs=4, batch_size=BATCH,
        is_silent=True,
    )  # fmt: skip
    data = load_digits()
    loaded = torch.from_numpy(np.load(tmp_path / "d.npy"))
    defense = RegionSparse(nn.Flatten(), loaded)
    assert (defense.patch_size, defense.n_nonzero) == (4, 2)
    fitted = RegionSparse.fit(nn.Flatten(), data.train.images, data.train.labels)
    held_out = training_patches(data.test.images[:50], RegionSparseSizes.for_size(32).recipe())
    ours, theirs = (objective(held_out, d) for d in (defense.dictionary, fitted.dictionary))
    assert ours == pytest.approx(theirs, rel=0.01)  # other first atoms, another order
    images = data.test.images[:3]
    again = RegionSparse.fit(nn.Flatten(), images, data.test.labels[:3], dictionary=loaded)
    assert again.purify(images).shape == images.shape


@pytest.mark.parametrize("n_parts", [1, 3, 4])
def test_a_stopped_run_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_parts: int
) -> None:
    options = ("--n-images", "40", "--per-image", "7", "--patch-size", "5", "--quiet")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    whole.mkdir()
    stopped.mkdir()
    monkeypatch.setattr(patch_job, "EVERY", 0.0)
    monkeypatch.setattr(patch_job, "AT_ONCE", 10 * 3 * 32 * 32)
    assert call(whole / "p.npy", *options) == 0
    made: list[int] = []

    def stopping(*arguments: object, **keywords: int) -> Tensor:
        if len(made) == n_parts:
            raise KeyboardInterrupt
        made.append(keywords["first"])
        return training_patches(*arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(patch_job, "training_patches", stopping)
    assert call(stopped / "p.npy", *options) == (0 if n_parts == 4 else 130)
    assert (stopped / "p.npy").exists() == (n_parts == 4)
    made.clear()
    n_left, n_parts = 4 - n_parts, 99
    assert call(stopped / "p.npy", *options) == 0
    assert made == [0, 10, 20, 30][4 - n_left :], "what was done is not done again"
    assert contents(stopped) == contents(whole)
    assert call(stopped / "p.npy", *options) == 0, "once more changes nothing"
    assert len(made) == n_left


def test_a_run_killed_between_its_last_files_ends(tmp_path: Path) -> None:
    out, options = tmp_path / "p.npy", ("--n-images", "10", "--per-image", "5", "--quiet")
    assert call(out, *options) == 0
    before = contents(tmp_path)
    plan = json.loads(before["p.npy.json"])["plan"]
    state = json.dumps({"plan": plan, "n_done": 10})
    (tmp_path / "p.npy.part.json").write_text(state)
    out.rename(tmp_path / "p.npy.part")
    assert call(out, *options) == 0
    assert contents(tmp_path) == before
    (tmp_path / "p.npy.part.json").write_text(state)
    assert call(out, *options) == 0
    assert contents(tmp_path) == before


def test_other_settings_do_not_overwrite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "p.npy"
    assert call(out, "--n-images", "10", "--quiet") == 0
    before = contents(tmp_path)
    assert call(out, "--n-images", "10", "--patch-size", "6") == 2
    assert "recipe size was 4, is 6. Give another --out" in capsys.readouterr().err
    assert contents(tmp_path) == before
    (tmp_path / "p.npy.json").unlink()
    assert call(out, "--n-images", "10") == 2
    assert "nothing tells how it was made" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--n-images", "99999"), 2, "n_train must be from 0 to 1197"),
        (("--patch-size", "33"), 2, "size must be at most the image's side 32, got 33"),
        (("--dataset", "imagenet", "--root", "/nowhere"), 1, "/nowhere"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    tmp_path: Path, options: tuple[str, ...], status: int, message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert call(tmp_path / "p.npy", *options) == status
    error = capsys.readouterr().err
    assert "sparsedef patches: " in error
    assert message in error
    assert "Traceback" not in error
    assert contents(tmp_path) == {}
    assert call(tmp_path / "p.txt", "--quiet") == 2
    assert "--out must end in .npy" in capsys.readouterr().err
