"""Codes on disk: rows of different lengths, one file per shard, read back in place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from sparsedef.backends.base import Status
from sparsedef.solvers.result import SparseCode
from sparsedef.streams.tensor_file import Array, map_tensor, read_header, write_tensors

MANIFEST = "manifest.json"
_PER_ROW = ("status", "gap", "alpha", "residual_norm")


class CodeRows(NamedTuple):
    """Codes of B consecutive signals, compressed by rows.

    ``scipy.sparse.csr_matrix((values, indices, offsets), shape)`` takes them as they are.

    Attributes:
        offsets: Row i's codes are ``offsets[i]:offsets[i + 1]`` of the two below; ``[B + 1]``.
        indices: Atoms, int32 (``[offsets[-1]]``); in OMP's order of choice.
        values: Their codes, float32 or float64.
        status: How each signal ended, ``[B]``, uint8; see :class:`sparsedef.Status`.
        gap: The LASSO's relative duality gap, ``[B]``; ``None`` for OMP.
        alpha: Each signal's penalty, ``[B]``; ``None`` when it is one number for all.
        residual_norm: ``||x - z D||``, ``[B]``; ``None`` when it was not asked for.
        n_atoms: N.
    """

    offsets: Array
    indices: Array
    values: Array
    status: Array
    gap: Array | None
    alpha: Array | None
    residual_norm: Array | None
    n_atoms: int

    @property
    def shape(self) -> tuple[int, int]:
        """``(B, N)``."""
        return len(self.status), self.n_atoms

    def to_dense(self) -> Array:
        """Spreads them over ``[B, N]``; a signal that held NaN or infinity is NaN throughout."""
        dense = np.zeros(self.shape, self.values.dtype)
        rows = np.repeat(np.arange(len(self.status)), np.diff(self.offsets))
        dense[rows, self.indices] = self.values
        dense[self.status == int(Status.NONFINITE)] = np.nan
        return dense


class StoredCodes:
    """The codes that ``sparsedef encode`` left in a folder; made by :func:`read_codes`.

    ``codes[i]`` gives row i's ``(indices, values)``, ``codes[a:b]`` the :class:`CodeRows` of a
    range, iteration every row's ``(indices, values)``. Files are mapped: only what is touched is
    read.

    Args:
        folder: Where they are.
        manifest: What its ``manifest.json`` says.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        """Keeps what the manifest says; see :func:`read_codes`."""
        self.folder, self.manifest = folder, manifest
        self.n_signals: int = manifest["n_signals"]
        self.n_atoms: int = manifest["n_atoms"]
        self.shard_rows: int = manifest["plan"]["shard_rows"]

    def __len__(self) -> int:
        """B."""
        return self.n_signals

    @property
    def shape(self) -> tuple[int, int]:
        """``(B, N)``."""
        return self.n_signals, self.n_atoms

    def shards(self) -> Iterator[CodeRows]:
        """Gives the rows a shard at a time, mapped."""
        for i in range(len(self.manifest["shards"])):
            yield self._shard(i)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        """Gives each row's ``(indices, values)``."""
        for shard in self.shards():
            for begin, end in zip(shard.offsets[:-1], shard.offsets[1:], strict=True):
                yield shard.indices[begin:end], shard.values[begin:end]

    def __getitem__(self, rows: int | slice) -> Any:
        """Gives one row's ``(indices, values)``, or the :class:`CodeRows` of a slice (step 1)."""
        if isinstance(rows, slice):
            first, last, step = rows.indices(self.n_signals)
            if step != 1:
                raise ValueError(f"read_codes: a slice must have step 1, got {step}")
            return self._range(first, max(first, last))
        row = range(self.n_signals)[rows]
        part = self._range(row, row + 1)
        return part.indices, part.values

    def _shard(self, i: int) -> CodeRows:
        path = self.folder / self.manifest["shards"][i]["file"]
        try:
            tensors, _ = read_header(path)
        except FileNotFoundError:
            raise ValueError(f"{path} is gone; the same sparsedef encode makes it again") from None
        mapped = {name: map_tensor(path, tensor) for name, tensor in tensors.items()}
        fields = {name: mapped.get(name) for name in CodeRows._fields}
        return CodeRows(**{**fields, "n_atoms": self.n_atoms})  # type: ignore[arg-type]

    def _range(self, first: int, last: int) -> CodeRows:
        wanted = range(first // self.shard_rows, -(-last // self.shard_rows))
        parts = []
        for i in wanted:
            start = i * self.shard_rows
            parts.append(cut(self._shard(i), max(first - start, 0), last - start))
        return parts[0] if len(parts) == 1 else self._join(parts)

    def _join(self, parts: Sequence[CodeRows]) -> CodeRows:
        if not parts:
            return cut(self._shard(0), 0, 0)
        ends = np.cumsum([0, *(part.offsets[-1] for part in parts)])
        offsets = [part.offsets[1:] + end for part, end in zip(parts, ends[:-1], strict=True)]

        def together(name: str) -> Array | None:
            found = [getattr(part, name) for part in parts]
            return None if found[0] is None else np.concatenate(found)

        joined: dict[str, Any] = {name: together(name) for name in ("indices", "values", *_PER_ROW)}
        first = np.zeros(1, np.int64)
        return parts[0]._replace(offsets=np.concatenate([first, *offsets]), **joined)


def read_codes(folder: str | Path) -> StoredCodes:
    """Opens the codes that ``sparsedef encode --out FOLDER`` made, without loading them.

    Args:
        folder: Its ``--out``.

    Returns:
        ``StoredCodes``: index it, slice it, or iterate over it.

    Raises:
        ValueError: There are none, or they are not complete.

    Example:
        >>> import numpy, tempfile
        >>> from pathlib import Path
        >>> from sparsedef.streams import Coding, encode, read_codes
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     x, d = Path(folder, "x.npy"), Path(folder, "d.npy")
        ...     numpy.save(x, numpy.array([[3.0, 0.5], [0.0, -2.0]], "float32"))
        ...     numpy.save(d, numpy.eye(2, dtype="float32"))
        ...     out = encode([x], d, Path(folder, "codes"), Coding(alpha=1.0), is_silent=True)
        ...     codes = read_codes(out)
        ...     codes.shape, codes[:2].to_dense().tolist(), codes[1][0].tolist()
        ((2, 2), [[2.0, 0.0], [0.0, -1.0]], [1])
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(
            f"read_codes: {folder} has no {MANIFEST}: no sparsedef encode was completed there"
            " (the same command goes on where it was stopped)"
        )
    return StoredCodes(folder, json.loads(path.read_text()))


def cut(rows: CodeRows, first: int, last: int) -> CodeRows:
    """Rows ``first:last`` of some, without a copy but of the offsets."""
    last = min(last, len(rows.status))
    offsets = np.asarray(rows.offsets[first : last + 1])
    begin, end = (int(offsets[0]), int(offsets[-1])) if len(offsets) else (0, 0)
    parts = {name: getattr(rows, name) for name in _PER_ROW}
    per_row: dict[str, Any] = {
        name: None if part is None else part[first:last] for name, part in parts.items()
    }
    return rows._replace(
        offsets=offsets - begin,
        indices=rows.indices[begin:end],
        values=rows.values[begin:end],
        **per_row,
    )


def to_rows(code: SparseCode, n_atoms: int, *, keeps_alpha: bool, keeps_norm: bool) -> CodeRows:
    """Compresses a compact result; tensors become arrays."""
    assert code.indices is not None
    assert code.values is not None
    is_used = code.indices >= 0
    offsets = torch.zeros(len(is_used) + 1, dtype=torch.int64, device=is_used.device)
    torch.cumsum(is_used.sum(dim=1), 0, out=offsets[1:])
    norm = code.residual.norm(dim=1) if keeps_norm else None
    alpha = code.alpha if keeps_alpha else None

    def array(tensor: torch.Tensor | None) -> Any:
        return None if tensor is None else tensor.cpu().numpy()

    indices, values = code.indices[is_used].to(torch.int32), code.values[is_used]
    status = array(code.status.to(torch.uint8))
    return CodeRows(
        array(offsets), array(indices), array(values), status,
        array(code.gap), array(alpha), array(norm), n_atoms,
    )  # fmt: skip


def write_shard(path: Path, parts: Sequence[CodeRows], metadata: dict[str, Any]) -> None:
    """Writes the rows of one shard, given in parts, with a count of how its signals ended.

    Args:
        path: The file; it is there when the whole shard is.
        parts: At least one.
        metadata: Goes into the file's header, as JSON in ``"shard"``.
    """
    status = np.concatenate([part.status for part in parts])
    counts = np.bincount(status, minlength=len(Status))
    gaps = np.concatenate([np.empty(0) if part.gap is None else part.gap for part in parts])
    finite = gaps[np.isfinite(gaps)]
    ends = np.cumsum([0, *(len(part.values) for part in parts)])
    about = {
        **metadata,
        "n_signals": len(status),
        "n_nonzero": int(ends[-1]),
        "status": {each.name: int(counts[each]) for each in Status},
        "largest_gap": float(finite.max()) if len(finite) else None,
    }
    first = np.zeros(1, np.int64)
    offsets = [part.offsets[1:] + end for part, end in zip(parts, ends[:-1], strict=True)]
    tensors: dict[str, list[Array]] = {"offsets": [first, *offsets]}
    for name in ("values", "gap", "alpha", "residual_norm", "indices", "status"):
        if getattr(parts[0], name) is not None:
            tensors[name] = [getattr(part, name) for part in parts]
    write_tensors(path, tensors, {"shard": json.dumps(about, sort_keys=True)})


def read_about(path: Path) -> dict[str, Any]:
    """What :func:`write_shard` counted, from the file's header alone."""
    about: dict[str, Any] = json.loads(read_header(path)[1]["shard"])
    return about
