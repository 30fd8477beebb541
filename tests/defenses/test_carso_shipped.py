"""The shipped CARSOs: small, what their files say of them, and written by a command."""

from pathlib import Path

import pytest
import torch

from sparsedef.defenses.carso import (
    PRESETS,
    load_purifier,
    load_shipped_carso,
    make_purifier,
    purifier_settings,
    shipped_files,
)
from sparsedef.defenses.carso.shipped import FOLDER, SHIPPED, write_shipped
from sparsedef.models.carso import CARSOPurifier
from sparsedef.models.checkpoint import load_classifier, load_network, save_network
from sparsedef.models.small_cnn import SmallCNN
from sparsedef.training.state import digest


def test_all_of_them_together_are_under_six_megabytes() -> None:
    files = [path for name in SHIPPED for path in shipped_files(name)]
    assert sorted(files) == sorted(FOLDER.iterdir())
    assert sum(path.stat().st_size for path in files) < 6e6


@pytest.mark.parametrize("dataset", SHIPPED)
def test_their_files_say_how_they_were_made(dataset: str) -> None:
    base, purifier = (load_network(path) for path in shipped_files(dataset))
    assert base.about["training"]["objective"] in ("pgd_at", "fgsm_at")
    assert base.about["figures"]["pgd_20"] > 0.5, "it is adversarially trained"
    assert purifier.about["training"]["objective"] == "carso"
    assert purifier.about["training"]["sizes"] == repr(SHIPPED[dataset])
    for each in (base, purifier):
        assert each.about["training"]["dataset"] == dataset
        assert each.about["training"]["seed"] == 0
        assert each.about["training"]["size"] == [32, 32]
    defense = load_shipped_carso(dataset)
    assert not any(each.requires_grad for each in defense.parameters())
    names = 10 if dataset == "digits" else 24
    assert defense(torch.rand(2, 3, 32, 32)).shape == (2, names)


def test_a_name_that_is_not_shipped_is_refused() -> None:
    with pytest.raises(ValueError, match="dataset must be one of"):
        load_shipped_carso("cifar10")


def written(folder: Path) -> tuple[Path, Path]:
    """A tiny base and a purifier, as trainings write them."""
    settings = {"n_classes": 3, "size": 16, "width": 2}
    torch.manual_seed(0)
    classifier = SmallCNN(**settings).eval()
    sizes = PRESETS["small"]
    shapes = purifier_settings(classifier, torch.rand(2, 3, 16, 16), sizes)
    purifier: CARSOPurifier = make_purifier(shapes, seed=0)
    about = {
        "training": {"dataset": "digits", "base": "base.pt"}, "taps": ["a"],
        "classifier": digest(classifier.state_dict().values()),
    }  # fmt: skip
    paths = folder / "base.pt", folder / "purifier.pt"
    save_network(paths[0], "small_cnn", settings, classifier, about={"training": {"seed": 0}})
    save_network(paths[1], "carso_purifier", shapes, purifier, about=about)
    return paths


def test_what_is_written_is_half_as_large_and_still_belongs_together(tmp_path: Path) -> None:
    base, purifier = written(tmp_path)
    files = write_shipped(base, purifier, tmp_path / "out")
    assert [each.name for each in files] == ["digits-base.pt", "digits-purifier.pt"]
    assert files[1].stat().st_size < 0.6 * purifier.stat().st_size
    before, after = load_classifier(base).model, load_classifier(files[0]).model
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        assert new.dtype == torch.float32
        torch.testing.assert_close(old, new, rtol=1e-3, atol=1e-6)  # a half has 11 bits
    network, taps = load_purifier(files[1], after)
    assert taps == ("a",)
    assert all(each.dtype == torch.float32 for each in network.parameters())
    with pytest.raises(ValueError, match="was trained for classifier"):
        load_purifier(files[1], before)
    with pytest.raises(ValueError, match="was trained for classifier"):
        write_shipped(files[0], purifier, tmp_path / "out")
