"""SSD by its name: with the shipped CLIP where nothing else is given, or one clear line."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from sparsedef.commands import evaluate
from sparsedef.defenses import DEFENSES, SSD
from sparsedef.worlds import draw_split


class Colours(nn.Module):
    """A classifier of 24 classes that embeds no texts."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3)) @ torch.ones(3, 24)


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    return parser.parse_args(list(words))


def test_defenses_are_imported_without_open_clip() -> None:
    code = "import sys, sparsedef.defenses; sys.exit('open_clip' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_open_clip_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("safetensors")
    monkeypatch.setitem(sys.modules, "open_clip", None)
    monkeypatch.setitem(sys.modules, "open_clip.model", None)
    with (
        pytest.warns(UserWarning, match="the shipped small CLIP takes its place"),
        pytest.raises(
            ImportError, match=r"open_clip is not installed \(pip install 'sparsedef\[clip"
        ),
    ):
        DEFENSES["ssd"].fit(Colours(), torch.rand(48, 3, 48, 48), torch.arange(48) % 24)


def test_the_shipped_clip_takes_the_place_of_a_classifier() -> None:
    pytest.importorskip("open_clip")
    pytest.importorskip("safetensors")
    train, test = draw_split("train", 480), draw_split("test", 96)
    with pytest.warns(UserWarning, match="which knows drawn shapes only"):
        ssd = DEFENSES["ssd"].fit(Colours(), train.render(), train.classes, seed=0)
    assert isinstance(ssd, SSD)
    assert ssd.n_classes == 24
    assert (ssd(test.render()).argmax(1) == test.classes).float().mean() > 0.9
    assert "sharp tips" in ssd.names


def test_evaluate_takes_it_beside_a_classifier_that_it_does_not_defend(tmp_path: Path) -> None:
    for package in ("open_clip", "safetensors", "jinja2", "PIL"):
        pytest.importorskip(package)
    words = ["--dataset", "shapeworld", "--images", "4", "--train-images", "240", "--quick"]
    words += ["--defenses", "ssd", "--attacks", "fgsm", "recolour", "--strengths", "4/255"]
    assert evaluate.run(parse(*words, "--out", str(tmp_path))) == 0
    found = json.loads((tmp_path / "results.json").read_text())
    ssd = [row for row in found["rows"] if row["defense"] == "ssd"]
    assert {row["norm"] for row in ssd} == {"linf", "semantic"}
    # made on another network, so no gray-box attack of its own
    assert "gray-box" not in {row["threat_model"] for row in ssd}
    assert found["tasks"]["shapeworld"]["defenses"]["ssd"]["bare"] is None


def test_all_are_those_that_defend_the_classifier() -> None:
    names = evaluate._defense_names(["all"])
    assert "regionsparse" in names
    assert "ssd" not in names
    assert evaluate._defense_names(["ssd", "all", "ssd"]) == names
