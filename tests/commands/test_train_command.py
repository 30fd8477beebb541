"""``sparsedef train``: what it writes and says, and mistakes in one line."""

import argparse
from pathlib import Path

import pytest
import torch
from torch import nn
from training_command import run

from sparsedef.commands.train_options import radius
from sparsedef.data import load_digits
from sparsedef.defenses import DEFENSES
from sparsedef.models import SmallCNN
from sparsedef.models.checkpoint import MODELS, load_classifier, load_network
from sparsedef.training import LinfAscent, Tensors, accuracy
from sparsedef.training.comdefend import reconstruction_error

pytest.importorskip("sklearn")

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def test_it_writes_a_classifier_with_its_figures_and_says_so(
    tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "net.pt"
    assert run("standard", "--out", out, "--epochs", 3, "--seed", 1) == 0
    said = capsys.readouterr()
    assert "steps" in said.err  # the bar
    saved = load_classifier(out)
    validation = load_digits(seed=1).validation
    measured = accuracy(saved.model, Tensors(validation.images, validation.labels))
    assert saved.about["figures"] == {"clean": measured}
    assert measured > 0.8
    assert f"{measured:.1%} clean, of 200 validation images" in said.out
    assert f"{out} has the weights" in said.out
    assert saved.about["training"]["seed"] == 1
    assert saved.about["classes"] == [str(digit) for digit in range(10)]
    assert len(saved.about["losses"]) == len(saved.about["scores"]) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]


def test_what_is_done_is_not_done_again_and_never_overwritten(
    tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "net.pt"
    command = ("standard", "--out", out, "--epochs", 1)
    assert run(*command) == 0
    before, said = out.stat().st_mtime_ns, capsys.readouterr().out
    assert run(*command) == 0
    again = capsys.readouterr()
    assert (again.out, again.err) == (said, "")
    assert run("standard", "--out", out, "--epochs", 2) == 1
    error = capsys.readouterr().err
    assert "sparsedef train standard: " in error
    assert "was trained otherwise: epochs was 1, is 2. Give another --out" in error
    assert run("trades", "--out", out, "--epochs", 1) == 1
    assert "objective was standard, is trades" in capsys.readouterr().err
    assert out.stat().st_mtime_ns == before


def test_adversarial_training_says_how_robust_it_is(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "net.pt"
    command = ("--out", out, "--epochs", 1, "--eps", "4/255", "--quiet")
    assert run("pgd-at", *command) == 0
    assert capsys.readouterr() == ("", "")
    assert run("at", *command[:-1]) == 0  # another name of the same, so it is done
    figures = load_classifier(out).about["figures"]
    text = capsys.readouterr().out
    assert f"{figures['clean']:.1%} clean and {figures['pgd_20']:.1%} under PGD-20" in text
    assert "with eps 4/255" in text
    validation = load_digits(seed=0).validation
    attacked = accuracy(
        load_classifier(out).model, Tensors(validation.images, validation.labels),
        perturb=LinfAscent(4 / 255, 20, 0.5 / 255),
    )  # fmt: skip
    assert figures["pgd_20"] == pytest.approx(attacked, abs=0.03)
    assert figures["pgd_20"] < figures["clean"]


def test_images_purified_by_a_defense_are_what_it_trains_on(tmp_path: Path) -> None:
    out = tmp_path / "net.pt"
    assert run("standard", "--out", out, "--epochs", 2, "--purified-by", "jpeg", "--quiet") == 0
    about = load_classifier(out).about
    assert about["training"]["purified_by"] == "jpeg"
    digits = load_digits(seed=0)
    defense = DEFENSES["jpeg"].fit(nn.Identity(), digits.train.images, digits.train.labels)
    clean, labels = digits.validation.images, digits.validation.labels
    with torch.no_grad():
        pure = torch.cat([defense.purify(some) for some in clean.split(64)])
    model = load_classifier(out).model
    assert about["figures"]["clean"] == accuracy(model, Tensors(pure, labels))
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]


def test_comdefends_networks_are_trained_and_judged(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "codec.pt"
    sizes = ("--width", 1, "--epochs", 1, "--batch-size", 64, "--crop", 8)
    assert run("comdefend", "--out", out, *sizes) == 0
    saved = load_network(out)
    error = reconstruction_error(saved.model, Tensors(load_digits(seed=0).validation.images))
    assert saved.about["figures"]["mean_squared_error"] == error
    text = capsys.readouterr().out
    assert f"mean squared error {error:.3g}" in text
    is_poor = error >= saved.about["figures"]["variance"]
    assert ("no better than a grey image" in text) == is_poor


def test_it_begins_at_a_network_that_was_trained_before(tmp_path: Path, capsys: Capture) -> None:
    first, out = tmp_path / "first.pt", tmp_path / "net.pt"
    assert run("standard", "--out", first, "--epochs", 2, "--quiet") == 0
    command = ("fgsm-at", "--out", out, "--epochs", 1, "--quiet")
    # a rate at which nothing moves: what comes out is what it began at
    assert run(*command, "--lr", "1e-9", "--start", first) == 0
    begun, ended = load_classifier(first), load_classifier(out)
    assert ended.about["figures"]["clean"] == begun.about["figures"]["clean"] > 0.5
    close = [
        torch.allclose(old, new, rtol=0, atol=1e-5)
        for old, new in zip(begun.model.parameters(), ended.model.parameters(), strict=True)
    ]
    assert all(close)
    assert run(*command, "--lr", "1e-9") == 1
    assert "start was " in capsys.readouterr().err
    other = ("--model", "wrn-10-1-silu", "--start", first)
    assert run("fgsm-at", "--out", tmp_path / "b.pt", "--epochs", 1, *other) == 1
    assert "--start must hold wrn-10-1-silu with" in capsys.readouterr().err
    missing = ("--start", tmp_path / "none.pt")
    assert run("fgsm-at", "--out", tmp_path / "b.pt", "--epochs", 1, *missing) == 1
    assert "none.pt" in capsys.readouterr().err


MISTAKES = [
    (("--model", "vgg"), f"--model must be one of {', '.join(MODELS)}, got vgg"),
    (("--root", "/data"), "digits comes with the installed packages and takes no root"),
    (("--shift", "-1"), "train_classifier: shift must be at least 0, got -1"),
    (("--lr", "1e12"), "the training must stay finite"),
]


@pytest.mark.parametrize(("options", "message"), MISTAKES)
def test_mistakes_are_one_line(
    options: tuple[str, ...], message: str, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "net.pt"
    assert run("standard", "--out", out, "--epochs", 1, "--quiet", *options) == 1
    error = capsys.readouterr().err
    assert error.startswith("sparsedef train standard: ")
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_files_that_cannot_be_are_named(tmp_path: Path, capsys: Capture) -> None:
    assert run("standard", "--out", tmp_path / "no" / "net.pt") == 1
    assert "--out must be in a folder that is there" in capsys.readouterr().err
    torch.save(SmallCNN(10).state_dict(), tmp_path / "net.pt")
    assert run("standard", "--out", tmp_path / "net.pt") == 1
    error = capsys.readouterr().err
    assert "is not a network that sparsedef wrote" in error
    assert "delete net.pt" in error
    (tmp_path / "a.pt.checkpoint").write_bytes(b"torn")
    assert run("standard", "--out", tmp_path / "a.pt", "--quiet") == 1
    assert "a.pt.checkpoint is not the state of a training" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "value"), [("8/255", 8 / 255), ("0.03", 0.03), ("0", 0.0)])
def test_a_radius_is_a_number_or_a_fraction(text: str, value: float) -> None:
    assert radius(text) == value


@pytest.mark.parametrize("text", ["8", "-1", "a", "1/0", "nan", "inf", ""])
def test_other_radii_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"got {text}"):
        radius(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("pgd-at", "--eps", "8"), "must be from 0 to 1, such as 8/255, got 8"),
        (("standard", "--epochs", "0"), "must be a whole number of at least 1, got 0"),
        (("standard", "--eps", "0.1"), "unrecognized arguments: --eps"),
        (("standard", "--dataset", "faces"), "invalid choice: 'faces'"),
        (("magic",), "invalid choice: 'magic'"),
    ],
)
def test_options_that_cannot_be_read_are_named(
    options: tuple[str, ...], message: str, tmp_path: Path, capsys: Capture
) -> None:
    with pytest.raises(SystemExit):
        run(*options, "--out", tmp_path / "net.pt")
    assert message in capsys.readouterr().err
