"""Signals on disk: many files, one long matrix, of which some rows are in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsedef.streams.tensor_file import DTYPES, StoredTensor, read_header

SUFFIXES = (".npy", ".safetensors")
_SAMPLES, _SAMPLE = 64, 16384  # of a file's numbers, for its digest; smaller files are read whole


@dataclass(frozen=True)
class Source:
    """One matrix ``[B, M]`` in one file.

    Attributes:
        path: The file.
        key: The tensor's name; empty for ``.npy``.
        dtype: As the safetensors format calls it, whatever the file.
        shape: ``(B, M)``.
        start: Of the first byte of the numbers.
        code: Their type as numpy calls it, with its byte order.
        is_transposed: Columns lie one after the other (a Fortran array).
    """

    path: Path
    key: str
    dtype: str
    shape: tuple[int, int]
    start: int
    code: str
    is_transposed: bool = False

    def read(self, first: int, last: int) -> Tensor:
        """Copies rows ``first:last`` into memory, ``[last - first, M]``, in the file's dtype."""
        dtype, n_features = np.dtype(self.code), self.shape[1]
        if first >= last or n_features == 0:
            rows = np.empty((max(last - first, 0), n_features), dtype)
        elif self.is_transposed:
            rows = np.memmap(self.path, dtype, "r", self.start, self.shape, "F")[first:last]
        else:
            start = self.start + first * n_features * dtype.itemsize
            # A map for each read: what was read is not counted as this process's for ever.
            rows = np.memmap(self.path, dtype, "r", start, (last - first, n_features))
        tensor = torch.from_numpy(np.array(rows, dtype.newbyteorder("="), order="C"))
        return tensor.view(torch.bfloat16) if self.dtype == "BF16" else tensor

    def describe(self) -> dict[str, Any]:
        """Where the matrix lies, and its sizes."""
        n_bytes = self.path.stat().st_size
        about = {"path": str(self.path), "n_signals": self.shape[0], "n_bytes": n_bytes}
        return {**about, "key": self.key} if self.key else about

    def identity(self) -> dict[str, Any]:
        """What the matrix is, wherever it lies: sizes, dtype and a digest of its numbers.

        The digest covers all of a file of up to a MiB of numbers, and 64 evenly spaced pieces of a
        larger one: another file is told apart, a change of few rows may not be.
        """
        n_bytes = self.shape[0] * self.shape[1] * np.dtype(self.code).itemsize
        hashed = hashlib.sha256()
        with self.path.open("rb") as file:
            if n_bytes <= _SAMPLES * _SAMPLE:
                file.seek(self.start)
                hashed.update(file.read(n_bytes))
            else:
                for i in range(_SAMPLES):
                    file.seek(self.start + i * (n_bytes - _SAMPLE) // (_SAMPLES - 1))
                    hashed.update(file.read(_SAMPLE))
        order = "F" if self.is_transposed else "C"
        return {
            "shape": list(self.shape),
            "dtype": self.dtype,
            "order": order,
            "digest": hashed.hexdigest()[:16],
        }


class Signals:
    """Rows of several files, one file after the other, as one matrix ``[B, M]``.

    Args:
        sources: At least one; all of the same M.

    Raises:
        ValueError: None at all, or they differ in M.

    Example:
        >>> import numpy, tempfile
        >>> from pathlib import Path
        >>> from sparsedef.streams import open_signals
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     numpy.save(Path(folder, "a.npy"), numpy.ones((2, 3), "float32"))
        ...     numpy.save(Path(folder, "b.npy"), numpy.zeros((1, 3), "float32"))
        ...     signals = open_signals([folder])
        ...     len(signals), signals.read(1, 3).tolist()
        (3, [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        """Checks that the sources fit together; see the class."""
        if not sources:
            raise ValueError("no signals: INPUT must name at least one .npy or .safetensors file")
        for source in sources[1:]:
            if source.shape[1] != sources[0].shape[1]:
                raise ValueError(
                    f"all inputs must have rows of one length, got {sources[0].shape[1]} in"
                    f" {sources[0].path} and {source.shape[1]} in {source.path}"
                )
        self.sources = list(sources)
        self.n_features = sources[0].shape[1]
        self.ends = np.cumsum([source.shape[0] for source in sources])

    def __len__(self) -> int:
        """B, of all files together."""
        return int(self.ends[-1])

    def read(self, first: int, last: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Copies rows ``first:last`` into memory, ``[last - first, M]``."""
        parts = [
            source.read(begin, end).to(dtype) for source, begin, end in self._pieces(first, last)
        ]
        if not parts:
            return torch.empty((0, self.n_features), dtype=dtype)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _pieces(self, first: int, last: int) -> Iterator[tuple[Source, int, int]]:
        start = 0
        for source, end in zip(self.sources, self.ends.tolist(), strict=True):
            if first < end and last > start:
                yield source, max(first - start, 0), min(last, end) - start
            start = end

    @property
    def widest_dtype(self) -> torch.dtype:
        """float64 if a file has it, else float32."""
        is_double = any(source.dtype == "F64" for source in self.sources)
        return torch.float64 if is_double else torch.float32


def open_signals(inputs: Sequence[str | Path], key: str | None = None) -> Signals:
    """Opens ``.npy`` and ``.safetensors`` files of any size without reading their numbers.

    Args:
        inputs: Files, or folders that stand for all such files in them, sorted by name.
        key: Which tensor of each safetensors file; ``None``: its only 2-d one.

    Raises:
        ValueError: A file is missing, damaged, or holds no matrix of numbers.
    """
    paths: list[Path] = []
    for each in map(Path, inputs):
        if each.is_dir():
            inside = sorted(path for path in each.iterdir() if path.suffix in SUFFIXES)
            if not inside:
                raise ValueError(f"{each} has no .npy or .safetensors file in it")
            paths += inside
        else:
            paths.append(each)
    return Signals([open_source(path, key) for path in paths])


def open_source(path: Path, key: str | None = None) -> Source:
    """Finds the matrix in one file; see :func:`open_signals`."""
    if not path.is_file():
        raise ValueError(f"{path} is not a file (nor a folder of files)")
    if path.suffix == ".npy":
        return _open_npy(path)
    if path.suffix == ".safetensors":
        return _open_safetensors(path, key)
    raise ValueError(f"{path} must end in .npy or .safetensors (numpy.save writes the former)")


def _open_npy(path: Path) -> Source:
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            shape, is_fortran, dtype = read[version](file)
        except (ValueError, KeyError) as error:
            raise ValueError(f"{path} is not a .npy file of plain numbers: {error}") from error
        start = file.tell()
    native = dtype.newbyteorder("<").str.replace("|", "<")
    name = next((name for name, code in DTYPES.items() if code == native and name != "BF16"), None)
    if name is None:
        raise ValueError(f"{path} must hold floats, signed integers or uint8, got {dtype}")
    n_rows, n_features = _check_matrix(path, shape)
    size, needed = path.stat().st_size, start + n_rows * n_features * dtype.itemsize
    if size < needed:
        raise ValueError(f"{path} is cut short: {size} bytes, its header says {needed}")
    is_transposed = is_fortran and n_rows > 1 and n_features > 1
    return Source(path, "", name, (n_rows, n_features), start, dtype.str, is_transposed)


def _open_safetensors(path: Path, key: str | None) -> Source:
    tensors, _ = read_header(path)
    name = _choose(path, tensors) if key is None else key
    if name not in tensors:
        raise ValueError(f"{path} has no tensor {name!r}; it has {_list(tensors)}")
    found = tensors[name]
    shape = _check_matrix(f"{path}, tensor {name!r},", found.shape)
    return Source(path, name, found.dtype, shape, found.start, DTYPES[found.dtype])


def _choose(path: Path, tensors: dict[str, StoredTensor]) -> str:
    matrices = [name for name, tensor in tensors.items() if len(tensor.shape) == 2]
    if len(matrices) != 1:
        raise ValueError(
            f"{path} must have one 2-d tensor, got {_list(tensors)} (--key NAME chooses)"
        )
    return matrices[0]


def _list(tensors: dict[str, StoredTensor]) -> str:
    return ", ".join(f"{n!r} {list(t.shape)}" for n, t in sorted(tensors.items())) or "none"


def _check_matrix(where: object, shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) != 2 or shape[1] == 0:
        hint = " (numpy.reshape(a, (len(a), -1)) makes rows)" if len(shape) != 2 else ""
        raise ValueError(f"{where} must be [B, M] with M >= 1, got {list(shape)}{hint}")
    return shape[0], shape[1]
