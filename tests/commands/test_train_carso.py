"""``sparsedef train carso``: its file, its classifier, and a run that was killed."""

import signal
import time
from pathlib import Path

import pytest
import torch
from training_command import run, start

from sparsedef.commands.train_carso import sizes_of
from sparsedef.data import load_digits
from sparsedef.defenses.carso import CARSO, PRESETS, load_purifier
from sparsedef.models import SmallCNN, load_model
from sparsedef.models.checkpoint import load_network, save_classifier

pytest.importorskip("sklearn")

Capture = pytest.CaptureFixture[str]
TINY = (
    "--epochs", 1, "--batch-size", 600, "--width", 8, "--condition", 8, "--attack-steps", 1,
    "--fraction", 0.1, "--size", 16, "--threads", 1,
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_base(tmp_path / "base.pt", seed=0)


def write_base(path: Path, *, seed: int) -> Path:
    torch.manual_seed(seed)
    settings = {"n_classes": 10, "size": 16, "width": 4}
    save_classifier(path, "small_cnn", settings, SmallCNN(**settings))
    return path


def test_it_writes_a_purifier_for_its_classifier_alone(
    base: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "carso.pt"
    command = ("carso", "--base", base, "--out", out, *TINY)
    assert run(*command) == 0
    said = capsys.readouterr().out
    assert "by 8 samples of a fixed seed" in said
    classifier = load_model(str(base), n_classes=10, size=16)
    purifier, taps = load_purifier(out, classifier)
    images = load_digits(size=16).test.images[:3]
    assert CARSO(classifier, purifier, taps=taps)(images).shape == (3, 10)
    about = load_network(out).about
    assert about["taps"] == list(taps)
    assert len(about["losses"]) == 1
    before = out.stat().st_mtime_ns
    assert run(*command) == 0
    assert capsys.readouterr().out == said
    assert out.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="was trained for classifier"):
        load_purifier(out, SmallCNN(10, 16, width=4))
    write_base(base, seed=1)  # other weights under the same name
    assert run(*command) == 1
    assert "base_digest was" in capsys.readouterr().err


def test_mistakes_are_one_line(tmp_path: Path, capsys: Capture) -> None:
    for option, value, message in (
        ("--base", "nowhere.pt", "there is no file nowhere.pt"),
        ("--base", "wrn-11-1", "depth must be"),
    ):
        assert run("carso", option, value, "--out", tmp_path / "x.pt", *TINY) == 1
        error = capsys.readouterr().err.strip()
        assert error.startswith("sparsedef train carso: ")
        assert message in error
        assert "\n" not in error


def test_presets_are_as_published_and_options_change_them() -> None:
    class Given:
        preset = "cifar100"
        epochs, batch_size, fraction, attack_steps = 3, None, None, None
        lr, width, condition = None, None, None

    sizes = sizes_of(Given())  # type: ignore[arg-type]
    assert (sizes.epochs, sizes.batch_size, sizes.fraction) == (3, 2560, 0.15)
    tiny = PRESETS["tinyimagenet"]
    assert (tiny.n_convolutions, tiny.condition, tiny.latent) == (4, 768, 192)
    assert PRESETS["cifar10"].batch_size == 5120


@pytest.mark.slow
def test_killed_and_started_again_gives_the_same_bytes(base: Path, tmp_path: Path) -> None:
    command = (
        "carso", "--base", base, *TINY, "--epochs", 3, "--batch-size", 100,
        "--checkpoint-steps", 3, "--quiet",
    )  # fmt: skip
    whole, out = tmp_path / "whole.pt", tmp_path / "killed.pt"
    assert run(*command, "--out", whole) == 0
    state = tmp_path / "killed.pt.checkpoint"
    for _ in range(2):
        before = state.stat().st_mtime_ns if state.exists() else 0
        process = start(*command, "--out", out)
        while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
            time.sleep(0.001)
        process.kill()
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        assert not out.exists()
    assert run(*command, "--out", out) == 0
    assert out.read_bytes() == whole.read_bytes()
