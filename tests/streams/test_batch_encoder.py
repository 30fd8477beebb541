"""``BatchEncoder``: arrays in, arrays out, alone and as a step of Ray Data."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from small_data import Data

import sparsedef
from sparsedef.streams import BatchEncoder, Coding


def dense(batch: dict[str, Any], n_atoms: int) -> np.ndarray:
    codes = np.zeros((len(batch["codes_indices"]), n_atoms), np.float32)
    for row, at, values in zip(codes, batch["codes_indices"], batch["codes_values"], strict=True):
        row[np.asarray(at, int)] = values
    return codes


def test_codes_are_those_of_the_solver_and_other_columns_stay(data: Data) -> None:
    coding = Coding(alpha=0.1)
    encode = BatchEncoder(data.folder / "d.npy", coding, column="x", device="cpu")
    got = encode({"x": data.x, "name": np.arange(1000)})
    x, dictionary = torch.from_numpy(data.x), torch.from_numpy(data.dictionary)
    wanted = sparsedef.lasso(x, dictionary, 0.1)
    # The C++ backend's codes do not depend on the layout; elsewhere on rounding.
    np.testing.assert_allclose(dense(got, 48), wanted.codes, atol=1e-5)
    assert got["codes_gap"].max() <= 1e-5
    assert got.keys() == {
        "x", "name", "codes_status", "codes_gap", "codes_indices", "codes_values",
    }  # fmt: skip
    assert got["name"].tolist() == list(range(1000))


def test_dense_and_compact_hold_the_same_codes(data: Data) -> None:
    atoms, coding = torch.from_numpy(data.dictionary), Coding(n_nonzero=4)
    x = np.vstack([data.x, np.full((1, 24), np.nan, np.float32)])
    compact = BatchEncoder(atoms, coding, column="x")({"x": x})
    full = BatchEncoder(data.dictionary, coding, column="x", layout="dense")({"x": x})
    assert np.array_equal(full["codes"][:-1], dense(compact, 48)[:-1])
    assert np.isnan(full["codes"][-1]).all()
    assert full["codes_status"][-1] == int(sparsedef.Status.NONFINITE)
    assert len(compact["codes_indices"][-1]) == 0
    assert "codes_gap" not in full


def test_rows_that_come_as_lists_are_taken(data: Data) -> None:
    encode = BatchEncoder(data.dictionary, Coding(n_nonzero=4), column="x", layout="dense")
    rows = np.empty(50, dtype=object)
    rows[:] = [row.tolist() for row in data.x[:50]]
    as_lists = encode({"x": rows})["codes"]
    assert np.array_equal(as_lists, encode({"x": data.x[:50]})["codes"])


def test_mistakes_are_found_when_it_is_built(data: Data) -> None:
    with pytest.raises(ValueError, match="atoms of norm 1"):
        BatchEncoder(2 * data.dictionary, Coding(n_nonzero=4), column="x")
    with pytest.raises(ValueError, match="layout must be one of"):
        BatchEncoder(data.dictionary, Coding(n_nonzero=4), column="x", layout="coo")
    encode = BatchEncoder(data.dictionary, Coding(n_nonzero=4), column="y")
    with pytest.raises(ValueError, match=r"column must be one of \['x'\], got 'y'"):
        encode({"x": data.x})


@contextlib.contextmanager
def local_ray() -> Iterator[Any]:
    ray = pytest.importorskip("ray", reason="ray is not installed")
    pytest.importorskip("ray.data", reason="ray[data] is not installed")
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    try:
        yield ray
    finally:
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_ray_maps_batches_with_it(data: Data) -> None:
    coding = Coding(alpha=0.1)
    alone = BatchEncoder(data.dictionary, coding, column="data", device="cpu")
    wanted = dense(alone({"data": data.x}), 48)
    how = {"dictionary": data.dictionary, "coding": coding, "column": "data", "device": "cpu"}
    with local_ray() as ray:
        signals = ray.data.from_numpy(data.x)
        for layout in ("compact", "dense"):
            coded = signals.map_batches(
                BatchEncoder,
                fn_constructor_kwargs={**how, "layout": layout},
                concurrency=1,
                batch_size=300,
            )
            rows = coded.take_all()
            assert len(rows) == 1000
            order = np.argsort([row["data"][0] for row in rows])
            got = {name: [rows[i][name] for i in order] for name in rows[0]}
            mine = np.argsort(data.x[:, 0])
            codes = np.stack(got["codes"]) if layout == "dense" else dense(got, 48)
            # Ray's workers choose their own number of threads: equal within rounding.
            np.testing.assert_allclose(codes, wanted[mine], atol=1e-5)
