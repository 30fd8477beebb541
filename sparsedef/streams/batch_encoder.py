"""Sparse coding as a step of a pipeline that hands out batches, such as Ray Data's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sparsedef.solvers.checks import check_choice
from sparsedef.solvers.omp import LAYOUTS
from sparsedef.streams.codes import to_rows
from sparsedef.streams.coding import Coder, Coding, read_dictionary, to_device, widest
from sparsedef.streams.tensor_file import Array


class BatchEncoder:
    """Codes one column of batches; a callable class for Ray Data's ``map_batches``.

    ``dataset.map_batches(BatchEncoder, fn_constructor_kwargs=dict(dictionary="d.npy",
    coding=Coding(alpha=0.1), column="embedding"), concurrency=4, batch_size=8192)`` builds one per
    actor. A signal's code does not depend on how the rows are cut into batches.

    Args:
        dictionary: ``[N, M]``, an atom per row: an array, a tensor, or a file of one.
        coding: Which codes are wanted.
        column: Name of the signals, ``[B, M]`` (or B rows of M numbers).
        layout: ``"compact"``: columns ``codes_indices`` and ``codes_values`` with one array per
            row, as long as the row has nonzeros. ``"dense"``: a column ``codes`` ``[B, N]``.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        dtype: Of the work and the values; ``None``: float64 if the dictionary is, else float32.

    Raises:
        TypeError: A setting has the wrong type.
        ValueError: A setting or the dictionary is wrong; found when it is built.

    Example:
        >>> import numpy
        >>> from sparsedef.streams import BatchEncoder, Coding
        >>> encode = BatchEncoder(numpy.eye(2), Coding(alpha=1.0), column="x", layout="dense")
        >>> batch = encode({"x": numpy.array([[3.0, 0.5]]), "id": numpy.array([7])})
        >>> batch["codes"].tolist(), batch["codes_status"].tolist(), batch["id"].tolist()
        ([[2.0, 0.0]], [0], [7])
    """

    def __init__(
        self,
        dictionary: str | Path | Array | Tensor,
        coding: Coding,
        *,
        column: str,
        layout: str = "compact",
        device: str = "auto",
        dtype: torch.dtype | None = None,
    ) -> None:
        """Reads the dictionary and tries the settings; see the class."""
        check_choice("BatchEncoder", "layout", layout, LAYOUTS)
        if isinstance(dictionary, (str, Path)):
            atoms = read_dictionary(dictionary)
        else:
            atoms = torch.as_tensor(dictionary)
        work = widest(atoms.dtype) if dtype is None else dtype
        self.column, self.layout = column, layout
        self._coder = Coder(coding, atoms.to(to_device(device), work))

    def __call__(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Adds the codes to a batch, with ``codes_status`` and the LASSO's ``codes_gap``.

        Args:
            batch: Columns of B rows; all are passed on.

        Raises:
            ValueError: The column is not there, or its rows do not fit the dictionary.
        """
        if self.column not in batch:
            raise ValueError(
                f"BatchEncoder: column must be one of {sorted(batch)}, got {self.column!r}"
            )
        signals = np.asarray(batch[self.column])
        dictionary = self._coder.dictionary
        if signals.dtype == object:  # rows came as lists
            signals = np.stack([np.asarray(row) for row in signals])
        code = self._coder(torch.from_numpy(np.array(signals)))
        rows = to_rows(code, len(dictionary), keeps_alpha=False, keeps_norm=False)
        added = {"codes_status": rows.status}
        if rows.gap is not None:
            added["codes_gap"] = rows.gap
        if self.layout == "dense":
            added["codes"] = rows.to_dense()
        else:
            added["codes_indices"] = _per_row(rows.indices, rows.offsets)
            added["codes_values"] = _per_row(rows.values, rows.offsets)
        return {**batch, **added}


def _per_row(numbers: Array, offsets: Array) -> Array:
    """Cuts ``numbers`` into one array per row, ``[B]`` of objects."""
    rows = np.empty(len(offsets) - 1, dtype=object)
    for i in range(len(rows)):
        rows[i] = numbers[offsets[i] : offsets[i + 1]]
    return rows
