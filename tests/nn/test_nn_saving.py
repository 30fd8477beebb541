"""A saved layer comes back whole, and a file that is none is refused by name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_layers import LAYERS, atoms, make_input
from torch import nn

import sparsedef
from sparsedef.nn import OMP, SparseCode, load_safetensors, save_safetensors

safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is an extra")


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_round_trip_is_to_the_bit(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name](torch.randn(24, 16), learn_dictionary=False).to(dtype)
    save_safetensors(layer, tmp_path / "layer.safetensors")
    again = load_safetensors(tmp_path / "layer.safetensors")
    assert type(again) is type(layer)
    assert repr(again) == repr(layer)
    assert not again.weight.requires_grad
    for key, tensor in layer.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor)
    x = make_input(name, 3, dtype=dtype)
    assert torch.equal(again(x), layer(x))


def test_the_metadata_say_what_the_tensors_are(tmp_path: Path) -> None:
    save_safetensors(SparseCode(atoms(), 0.2, tol=1e-7), tmp_path / "code.safetensors")
    with safetensors.safe_open(tmp_path / "code.safetensors", "pt") as file:
        metadata = file.metadata()
        assert sorted(file.keys()) == ["log_alpha", "weight"]
    assert metadata["format"] == "sparsedef.nn"
    assert metadata["kind"] == "SparseCode"
    assert metadata["version"] == sparsedef.__version__
    assert json.loads(metadata["settings"])["tol"] == 1e-7


def test_a_failed_save_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "code.safetensors"
    save_safetensors(OMP(atoms(), 3), path)
    before = path.read_bytes()

    def broken(tensors, target, metadata) -> None:
        Path(target).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(safetensors, "save_file", broken)
    with pytest.raises(OSError, match="disk full"):
        save_safetensors(OMP(atoms() * 2, 3), path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["code.safetensors"]


def rewritten(path: Path, **changes: str) -> Path:
    """A file like a saved layer with some metadata changed."""
    layer = OMP(atoms(), 3)
    save_safetensors(layer, path)
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata() | changes
    safetensors.save_file(layer.state_dict(), path, metadata)
    return path


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"format": "pt"}, "must be a layer of sparsedef.nn"),
        ({"revision": "2", "version": "9.9"}, "written by sparsedef 9.9"),
        ({"kind": "Linear"}, "must hold one of"),
    ],
)
def test_other_files_are_refused(changes: dict, text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=text):
        load_safetensors(rewritten(tmp_path / "x.safetensors", **changes))


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="path must be a file"):
        load_safetensors(tmp_path / "absent.safetensors")
    (tmp_path / "text").write_text("hello, this is text")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        load_safetensors(tmp_path / "text")
    safetensors.save_file({"weight": atoms()}, tmp_path / "plain")
    with pytest.raises(ValueError, match="got None"):
        load_safetensors(tmp_path / "plain")
    with pytest.raises(TypeError, match=r"must be one of .* got Linear"):
        save_safetensors(nn.Linear(2, 2), tmp_path / "linear")  # type: ignore[arg-type]


def test_without_the_package_the_extra_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['safetensors'] = None\n"
        "import sparsedef.nn as nn\n"
        "for call in (lambda: nn.save_safetensors(nn.OMP((3, 2), 1), 'x'),"
        " lambda: nn.load_safetensors('x')):\n"
        "    try: call()\n"
        "    except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("pip install 'sparsedef[safetensors]'") == 2


def test_the_layers_are_light_to_import() -> None:
    heavy = "safetensors sklearn scipy tqdm triton"
    code = (
        "import sys, torch; before = set(sys.modules); import sparsedef.nn, sparsedef.sae;"
        f"new = set(sys.modules) - before; print([m for m in {heavy.split()} if m in new])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
