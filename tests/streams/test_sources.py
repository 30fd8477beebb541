"""Files of signals: every layout reads the same rows, and a wrong file is named."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from small_data import Data

from sparsedef import cli
from sparsedef.streams import open_signals

x = np.random.default_rng(0).standard_normal((37, 5)).astype(np.float32)


def write_bfloat16(path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    tensors = {"x": torch.from_numpy(x).bfloat16(), "labels": torch.arange(37), "y": torch.ones(1)}
    safetensors.save_file(tensors, path, {"a": "b"})


WRITERS = {
    "npy": ("x.npy", lambda path: np.save(path, x), 0.0),
    "double": ("x.npy", lambda path: np.save(path, x.astype("f8")), 0.0),
    "half": ("x.npy", lambda path: np.save(path, x.astype("f2")), 2e-3),
    "fortran": ("x.npy", lambda path: np.save(path, np.asfortranarray(x)), 0.0),
    "big_endian": ("x.npy", lambda path: np.save(path, x.astype(">f4")), 0.0),
    "bfloat16": ("x.safetensors", write_bfloat16, 2e-2),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    file, write, tolerance = WRITERS[name]
    write(tmp_path / file)
    signals = open_signals([tmp_path])
    assert (len(signals), signals.n_features) == (37, 5)
    assert signals.widest_dtype == (torch.float64 if name == "double" else torch.float32)
    for first, last in [(0, 37), (3, 4), (36, 37), (5, 5)]:
        rows = signals.read(first, last)
        assert rows.dtype == torch.float32
        np.testing.assert_allclose(rows, x[first:last], atol=tolerance, rtol=0)


def test_integers_are_signals_too(tmp_path: Path) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(64, 4)
    np.save(tmp_path / "x.npy", pixels)
    assert open_signals([tmp_path / "x.npy"]).read(60, 64).tolist() == pixels[60:].tolist()


def test_files_follow_one_another(tmp_path: Path) -> None:
    for i, part in enumerate([x[:10], x[10:10], x[10:11], x[11:]]):
        np.save(tmp_path / f"{i}.npy", part)
    signals = open_signals([tmp_path])
    for first, last in [(0, 37), (9, 11), (10, 12), (8, 30)]:
        assert np.array_equal(signals.read(first, last), x[first:last])


def test_a_key_chooses_among_tensors(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    path = tmp_path / "x.safetensors"
    safetensors.save_file({"one": x, "two": 2 * x, "flag": np.ones(3, bool)}, path)
    assert np.array_equal(open_signals([path], "two").read(0, 37), 2 * x)
    with pytest.raises(ValueError, match=r"one 2-d tensor, got 'one' \[37, 5\], 'two'.*--key"):
        open_signals([path])
    with pytest.raises(ValueError, match="no tensor 'three'; it has 'one'"):
        open_signals([path], "three")


def broken_files(folder: Path) -> dict[str, str]:
    """Files that cannot be read, by name, and what must be said of them."""
    np.save(folder / "vector.npy", x[0])
    np.save(folder / "objects.npy", np.array([[None]]), allow_pickle=True)
    np.save(folder / "flags.npy", x > 0)
    np.save(folder / "wide.npy", np.ones((3, 9), "f4"))
    np.save(folder / "whole.npy", x)
    whole = (folder / "whole.npy").read_bytes()
    (folder / "short.npy").write_bytes(whole[:-1])
    (folder / "text.npy").write_text("not an array")
    (folder / "text.safetensors").write_text("not tensors at all")
    (folder / "short.safetensors").write_bytes((2**40).to_bytes(8, "little"))
    (folder / "x.csv").write_text("1,2")
    (folder / "empty").mkdir()
    return {
        "vector.npy": r"must be \[B, M\].*got \[5\]",
        "objects.npy": "floats, signed integers or uint8, got object",
        "flags.npy": "got bool",
        "short.npy": "cut short: 867 bytes, its header says 868",
        "text.npy": "not a .npy file",
        "text.safetensors": "not a safetensors file",
        "short.safetensors": "not a safetensors file, or it is cut short",
        "x.csv": "must end in .npy or .safetensors",
        "absent.npy": "is not a file",
        "empty": "no .npy or .safetensors file in it",
    }


def test_a_wrong_file_is_named_without_a_traceback(
    tmp_path: Path, data: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, message in broken_files(tmp_path).items():
        with pytest.raises(ValueError, match=message):
            open_signals([tmp_path / name])
        data.inputs = [tmp_path / name]
        assert cli.main(data.encode(tmp_path / "out")) == 2
        error = capsys.readouterr().err
        assert error.startswith("sparsedef encode: ")
        assert name in error
        assert error.count("\n") == 1
        assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match=r"rows of one length, got 5 in .*whole\.npy and 9 in"):
        open_signals([tmp_path / "whole.npy", tmp_path / "wide.npy"])


MISTAKES = {
    "neither": ([], "one of alpha and target_l0 .LASSO. or n_nonzero .OMP. must be given"),
    "both": (["--alpha", "1", "--n-nonzero", "2"], "got alpha and n_nonzero"),
    "negative": (["--alpha", "-1"], "alpha must be finite and >= 0, got -1"),
    "relative": (["--target-l0", "3", "--relative"], "relative belongs to alpha"),
    "memory": (["--alpha", "1", "--max-memory", "1K"], "max_memory must be at least"),
    "norms": (["--n-nonzero", "3"], "atoms of norm 1.*normalize=True"),
    "cuda": (["--n-nonzero", "3", "--backend", "cuda"], "cuda"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_wrong_setting_is_one_sentence_before_any_work(
    name: str, tmp_path: Path, data: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    options, message = MISTAKES[name]
    if name == "norms":
        np.save(data.folder / "d.npy", 2 * data.dictionary)
    command = (
        data.encode(tmp_path / "out", *options) if options else data.encode(tmp_path / "out")[:-2]
    )
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_a_transposed_dictionary_is_recognised(
    tmp_path: Path, data: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(data.folder / "d.npy", data.dictionary.T)
    assert cli.main(data.encode(tmp_path / "out")) == 2
    assert "transposed? save dictionary.T" in capsys.readouterr().err
