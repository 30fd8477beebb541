"""Safetensors files, read in place and written whole or not at all.

The format is a length (8 bytes, little endian), a JSON header and the numbers. It is read and
written here, because the same arrays must give the same bytes (the package's own writer puts
metadata into any order) and because a file of any size is mapped, not loaded.

Source: the safetensors format, https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsedef.whole_file import whole_file

# bfloat16 is unknown to numpy: its bits are kept in int16, and torch reads them.
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<i2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1", "U8": "<u1",
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in DTYPES.items() if name != "BF16"}
_LARGEST_HEADER = 100_000_000  # the format's own limit

Array = NDArray[Any]


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor lies in a file.

    Attributes:
        dtype: Its name in the format, such as ``"F32"``.
        shape: Its sizes.
        start: Of its first byte in the file.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def n_bytes(self) -> int:
        """Bytes that it takes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(DTYPES[self.dtype]).itemsize


def read_header(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Reads which tensors a safetensors file holds, and its metadata.

    Tensors of a type that sparsedef cannot code (bool, float8) are left out.

    Raises:
        ValueError: It is no such file, or it is shorter than its header says.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        n_header = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= n_header <= min(size - 8, _LARGEST_HEADER):
            raise ValueError(f"{path} is not a safetensors file, or it is cut short")
        try:
            header = json.loads(file.read(n_header))
        except ValueError as error:
            raise ValueError(f"{path} is not a safetensors file: {error}") from error
    metadata = header.pop("__metadata__", {})
    start, found, end = 8 + n_header, {}, 0
    for name, entry in header.items():
        end = max(end, entry["data_offsets"][1])
        if entry["dtype"] in DTYPES:
            begin = start + entry["data_offsets"][0]
            found[name] = StoredTensor(entry["dtype"], tuple(entry["shape"]), begin)
    if size < start + end:
        raise ValueError(f"{path} is cut short: {size} bytes, its header says {start + end}")
    return found, metadata


def map_tensor(path: Path, tensor: StoredTensor) -> Array:
    """Maps a tensor of a file, read-only; nothing is read before it is used."""
    dtype = np.dtype(DTYPES[tensor.dtype])
    if tensor.n_bytes == 0:
        return np.empty(tensor.shape, dtype)
    return np.memmap(path, dtype, "r", tensor.start, tensor.shape)


def write_tensors(
    path: Path, tensors: Mapping[str, Sequence[Array]], metadata: Mapping[str, str]
) -> None:
    """Writes arrays, each given in parts that follow one another along its first axis.

    Args:
        path: A safetensors file; it is replaced at once, when all is written.
        tensors: Name to parts, at least one; wide types first keeps all of them aligned.
        metadata: Any texts.
    """
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name, parts in tensors.items():
        begin, end = end, end + sum(part.nbytes for part in parts)
        shape = [sum(len(part) for part in parts), *parts[0].shape[1:]]
        dtype = _NAMES[parts[0].dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    with whole_file(path) as draft, draft.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for parts in tensors.values():
            for part in parts:
                file.write(np.ascontiguousarray(part).data)
