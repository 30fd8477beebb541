"""``sparsedef encode``: the codes are those of the solvers, whatever the files look like."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_data import ROOT, Data, contents

import sparsedef
from sparsedef import cli
from sparsedef.streams import Coding, encode, read_codes

OPTIONS = {
    "alpha": (["--alpha", "0.1"], {"alpha": 0.1}),
    "relative": (["--alpha", "0.2", "--relative"], {"alpha": 0.2, "relative": True}),
    "target_l0": (["--target-l0", "4"], {"target_l0": 4}),
    "nonnegative": (["--alpha", "0.1", "--nonnegative"], {"alpha": 0.1, "nonnegative": True}),
    "omp": (["--n-nonzero", "5"], {"n_nonzero": 5}),
    "omp_tol": (["--n-nonzero", "9", "--tol", "0.2"], {"n_nonzero": 9, "tol": 0.2}),
    "ols": (["--n-nonzero", "4", "--selection", "ols"], {"n_nonzero": 4, "selection": "ols"}),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_codes_are_those_of_the_solver(name: str, data: Data, tmp_path: Path) -> None:
    options, how = OPTIONS[name]
    out = tmp_path / "out"
    assert cli.main(data.encode(out, *options, "--residual-norm", "--quiet")) == 0
    solver = sparsedef.omp if "n_nonzero" in how else sparsedef.lasso
    x, dictionary = torch.from_numpy(data.x), torch.from_numpy(data.dictionary)
    code = solver(x, dictionary, layout="compact", **how)

    codes = read_codes(out)
    assert codes.shape == (1000, 48)
    rows = codes[:]
    # The C++ backend's codes do not depend on the batch; elsewhere on rounding.
    torch.testing.assert_close(
        torch.from_numpy(rows.to_dense()), code.to_dense(48), rtol=0, atol=1e-5
    )
    norm = code.residual.norm(dim=1)
    torch.testing.assert_close(torch.from_numpy(rows.residual_norm), norm, rtol=1e-4, atol=1e-6)
    assert np.array_equal(rows.status, code.status.numpy())
    assert (rows.gap is None) == (code.gap is None)
    assert (rows.alpha is not None) == (name in ("relative", "target_l0"))
    if rows.alpha is not None:
        torch.testing.assert_close(torch.from_numpy(rows.alpha), code.alpha, rtol=1e-5, atol=0)


def test_the_manifest_counts_what_is_there(
    data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data.x[7], data.x[700, 3] = np.nan, np.inf
    np.save(data.inputs[0], data.x[:333])
    np.save(data.inputs[1], data.x[333:])
    out = tmp_path / "out"
    assert cli.main(data.encode(out)) == 0
    text = capsys.readouterr().out
    assert "1000 signals over 48 atoms: 998 CONVERGED, 2 NONFINITE" in text
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["status"]["NONFINITE"] == 2
    assert [shard["n_signals"] for shard in manifest["shards"]] == [96] * 10 + [40]
    paths = [str(path) for path in data.inputs]
    assert [each["path"] for each in manifest["inputs"]] == paths
    assert [each["n_signals"] for each in manifest["inputs"]] == [333, 667]
    codes = read_codes(out)
    everything = codes[:]
    assert manifest["n_nonzero"] == len(everything.values) == everything.offsets[-1]
    assert manifest["largest_gap"] == pytest.approx(np.nanmax(everything.gap), rel=1e-6)
    assert np.isnan(everything.to_dense()).all(axis=1).nonzero()[0].tolist() == [7, 700]
    assert {name for name in contents(out) if name.startswith(".")} == set()


def test_any_row_and_range_reads_back(data: Data, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli.main(data.encode(out, "--n-nonzero", "3", "--quiet")) == 0
    codes = read_codes(out)
    dense = codes[:].to_dense()
    for first, last in [(0, 1), (90, 100), (96, 192), (5, 5), (500, 999), (990, 2000), (0, 1000)]:
        assert np.array_equal(codes[first:last].to_dense(), dense[first:last])
    for row, (indices, values) in enumerate(codes):
        assert np.array_equal(dense[row, indices], values)
        assert np.count_nonzero(dense[row]) == len(indices)
    assert row == 999
    assert np.array_equal(codes[-1][0], codes[999][0])
    assert sum(len(shard.status) for shard in codes.shards()) == len(codes)
    with pytest.raises(IndexError):
        codes[1000]
    with pytest.raises(ValueError, match="step 1"):
        codes[::2]


def test_the_files_are_safetensors(data: Data, tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    out = tmp_path / "out"
    assert cli.main(data.encode(out, "--alpha", "0.1", "--quiet")) == 0
    shard = safetensors.load_file(out / "codes-000000.safetensors")
    own = next(read_codes(out).shards())
    assert shard.keys() == {"offsets", "indices", "values", "gap", "status"}
    assert all(np.array_equal(shard[name], getattr(own, name)) for name in shard)
    assert shard["indices"].dtype == np.int32


def test_how_rows_lie_in_files_and_chunks_changes_no_code(data: Data, tmp_path: Path) -> None:
    whole = tmp_path / "whole.npy"
    np.save(whole, data.x)
    coding = Coding(alpha=0.1)
    dictionary = data.folder / "d.npy"
    one = encode([whole], dictionary, tmp_path / "one", coding, device="cpu", is_silent=True)
    assert cli.main(data.encode(tmp_path / "two", "--alpha", "0.1", "--quiet")) == 0
    # Within what the two certificates allow; equal to the bit on the C++ backend.
    np.testing.assert_allclose(
        read_codes(one)[:].to_dense(), read_codes(tmp_path / "two")[:].to_dense(), atol=2e-4
    )


def test_normalize_codes_as_if_atoms_had_norm_1(data: Data, tmp_path: Path) -> None:
    scales = np.linspace(0.5, 4, len(data.dictionary), dtype=np.float32)[:, None]
    np.save(data.folder / "d.npy", data.dictionary * scales)
    for method in (["--alpha", "0.1"], ["--n-nonzero", "4"]):
        out = tmp_path / method[0]
        assert cli.main(data.encode(out, *method, "--normalize", "--quiet")) == 0
        x, unit = torch.from_numpy(data.x), torch.from_numpy(data.dictionary)
        wanted = sparsedef.lasso(x, unit, 0.1) if "--alpha" in method else sparsedef.omp(x, unit, 4)
        got = read_codes(out)[:].to_dense() * scales[:, 0]
        # Each is certified to 1e-5 of half the signal's energy; atoms here are well conditioned.
        np.testing.assert_allclose(got, wanted.codes, atol=2e-3)


def test_unit_signals_are_scaled_and_zeros_stay(data: Data, tmp_path: Path) -> None:
    out = tmp_path / "out"
    x = data.x * np.linspace(0.1, 9, len(data.x), dtype=np.float32)[:, None]
    x[5] = 0
    np.save(data.inputs[0], x[:333])
    np.save(data.inputs[1], x[333:])
    assert cli.main(data.encode(out, "--n-nonzero", "4", "--unit-signals", "--quiet")) == 0
    data.x[5] = 0
    wanted = sparsedef.omp(torch.from_numpy(data.x), torch.from_numpy(data.dictionary), 4)
    np.testing.assert_allclose(read_codes(out)[:].to_dense(), wanted.codes, atol=1e-5)


def test_no_signals_at_all_are_no_error(data: Data, tmp_path: Path) -> None:
    np.save(data.inputs[0], data.x[:0])
    out = encode(
        data.inputs[:1], data.folder / "d.npy", tmp_path / "out", Coding(alpha=0.1), is_silent=True
    )
    assert read_codes(out)[:].to_dense().shape == (0, 48)
    assert list(read_codes(out)) == []


def test_memory_bounds_the_pieces(data: Data, tmp_path: Path) -> None:
    out = encode(
        data.inputs, data.folder / "d.npy", tmp_path / "out", Coding(alpha=0.1),
        max_memory=400_000, is_silent=True,
    )  # fmt: skip
    plan = read_codes(out).manifest["plan"]
    assert plan["solver_memory"] == 200_000
    # 24 nonzeros of 8 bytes and what is kept per row; 24 features of 20 bytes, slots of 24 bytes.
    assert plan["shard_rows"] == 100_000 // (24 * 8 + 64)
    assert plan["chunk_rows"] == 100_000 // (24 * 20 + 24 * 24 + 64)


PEAK = """
import resource, sys
from sparsedef.cli import main
assert main(sys.argv[1:]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory as Linux counts it")
def test_memory_stays_in_its_bound_whatever_the_size(data: Data, tmp_path: Path) -> None:
    large = tmp_path / "large.npy"
    drawn = np.random.default_rng(0)
    # 96 MiB of signals, and half as much of codes, in 32 MiB.
    np.save(large, drawn.standard_normal((1 << 20, 24), dtype=np.float32))
    peaks = []
    for name, path in [("small", data.inputs[0]), ("large", large)]:
        data.inputs = [path]
        command = data.encode(tmp_path / name, "--n-nonzero", "6", "--max-memory", "32M", "--quiet")
        command[command.index("--shard-rows") : command.index("--threads")] = []
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *command], cwd=ROOT, text=True, capture_output=True,
            check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        peaks.append(int(done.stdout) // 1024)
    assert len(read_codes(tmp_path / "large")) == 1 << 20
    assert peaks[1] - peaks[0] <= 32
