"""One call gives any classifier, with its weights, or one line that says what is wrong."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sparsedef.models import Normalised, SmallCNN, WideResNet, load_model

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def trained() -> SmallCNN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return SmallCNN(5, 32).eval()


@pytest.mark.parametrize(("spec", "kind"), [("small_cnn", SmallCNN), ("wrn-10-1", WideResNet)])
def test_own_networks_come_by_name_in_evaluation_mode(spec: str, kind: type[nn.Module]) -> None:
    model = load_model(spec, n_classes=7, size=32)
    assert isinstance(model, kind)
    assert not any(part.training for part in model.modules())
    assert model(IMAGES).shape == (2, 7)


def save_plain(model: nn.Module, path: Path) -> None:
    torch.save(model.state_dict(), path)


def save_nested(model: nn.Module, path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": model.state_dict()}, path)


def save_parallel(model: nn.Module, path: Path) -> None:
    torch.save({f"module.{name}": t for name, t in model.state_dict().items()}, path)


def save_safe(model: nn.Module, path: Path) -> None:
    pytest.importorskip("safetensors.torch").save_file(model.state_dict(), path)


@pytest.mark.parametrize(
    ("write", "suffix"),
    [
        (save_plain, ".pt"),
        (save_nested, ".pth"),
        (save_parallel, ".pth"),
        (save_safe, ".safetensors"),
    ],
)
def test_weights_are_read_from_every_form(
    tmp_path: Path, trained: SmallCNN, write: Callable[[nn.Module, Path], None], suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    write(trained, path)
    model = load_model("small_cnn", n_classes=5, size=32, weights=path)
    assert torch.equal(model(IMAGES), trained(IMAGES))


def test_weights_that_do_not_fit_are_named(tmp_path: Path, trained: SmallCNN) -> None:
    path = tmp_path / "weights.pt"
    save_plain(trained, path)
    with pytest.raises(
        ValueError,
        match=r"weights\.pt do not fit the network: shape: head\.weight is \[5, 1024\] there and "
        r"\[6, 1024\] here and 1 more",
    ) as caught:
        load_model("small_cnn", n_classes=6, size=32, weights=path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"no conv\.weight and \d+ more; unknown: features\.0"):
        load_model("wrn-10-1", n_classes=5, size=32, weights=path)
    with pytest.raises(FileNotFoundError, match=r"weights must be a file, got '/nowhere\.pt'"):
        load_model("small_cnn", n_classes=5, size=32, weights="/nowhere.pt")


def test_files_that_are_no_weights_are_refused(tmp_path: Path, trained: SmallCNN) -> None:
    whole_model, list_of, text = (tmp_path / f"{i}.pt" for i in range(3))
    torch.save(trained, whole_model)
    torch.save([1, 2], list_of)
    text.write_text("no weights")
    for path, message in (
        (whole_model, "cannot be read as weights alone"),
        (list_of, "must hold a state dict"),
        (text, "cannot be read as weights alone"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            load_model("small_cnn", n_classes=5, size=32, weights=path)
        assert "\n" not in str(caught.value)
    safe = tmp_path / "3.safetensors"
    safe.write_text("no weights")
    pytest.importorskip("safetensors")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        load_model("small_cnn", n_classes=5, size=32, weights=safe)


FILE = """
from torch import nn
from beside import CHANNELS

def both(n_classes, size):
    return nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS * size * size, n_classes))

def anything(**options):
    return both(**options)

def nothing():
    return both(4, 16)

def breaks():
    raise KeyError("no such key")

def gives_text(n_classes):
    return "a model"

number = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("CHANNELS = 3\n")
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize("function", ["both", "anything", "nothing"])
def test_a_function_of_yours_gets_the_arguments_that_it_takes(file: Path, function: str) -> None:
    path_before = list(sys.path)
    model = load_model(f"{file}:{function}", n_classes=4, size=16)
    assert model(torch.rand(2, 3, 16, 16)).shape == (2, 4)
    assert not model.training
    assert sys.path == path_before


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [
        ("breaks", ValueError, r"mine\.py:breaks: failed: KeyError: 'no such key'"),
        ("gives_text", TypeError, r"must return a torch\.nn\.Module, got str"),
        ("absent", ValueError, r"defines no function 'absent'"),
        ("number", ValueError, r"defines no function 'number'"),
        ("nothing", ValueError, r"must give logits \[1, 9\] for one image, got \[1, 4\]"),
    ],
)
def test_what_is_wrong_with_your_function_is_named(
    file: Path, function: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        load_model(f"{file}:{function}", n_classes=9, size=16)


def test_images_that_do_not_go_through_are_named(file: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot classify images of 8 x 8: RuntimeError: mat1"):
        load_model(f"{file}:nothing", n_classes=4, size=8)
    with pytest.raises(ValueError, match="small_cnn: size must be a multiple of 8, got 30"):
        load_model("small_cnn", n_classes=4, size=30)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet18", r"spec must be 'small_cnn', .*'torchvision:NAME'.*, got 'resnet18'"),
        ("mine.py", r"which function\? mine\.py:build"),
        ("wrn-11-2", r"depth must be 6 n \+ 4 with n >= 1, got 11"),
        ("wrn-10-2-tanh", r"activation must be one of .*, got 'tanh'"),
    ],
)
def test_an_unknown_spec_is_told_what_there_is(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_model(spec, n_classes=4, size=32)
    with pytest.raises(FileNotFoundError, match=r"there is no file '/nowhere\.py'"):
        load_model("/nowhere.py:build", n_classes=4, size=32)


def test_a_tuple_of_outputs_gives_its_first() -> None:
    class Two(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return images.mean((2, 3)), images

    images = torch.rand(2, 3, 4, 4)
    model = Normalised(Two(), mean=(0.5, 0.5, 0.5), std=(0.1, 0.2, 0.4))
    expected = (images.mean((2, 3)) - 0.5) / torch.tensor([0.1, 0.2, 0.4])
    assert torch.allclose(model(images), expected, atol=1e-5)
    assert not model.state_dict()
    with pytest.raises(ValueError, match="std positive"):
        Normalised(Two(), std=(0.1, 0.0, 0.1))


def test_without_torchvision_the_way_out_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ImportError, match=r"torchvision is not installed \(pip install"):
        load_model("torchvision:resnet18", n_classes=10, size=64)
    monkeypatch.delitem(sys.modules, "torchvision")
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('no operator\\nand so on')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"imported: no operator \(built for another torch"):
        load_model("torchvision:resnet18", n_classes=10, size=64)
