"""Data sets in small, written as their publishers write them."""

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
CIFAR10_NAMES = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
]  # fmt: skip


def cifar_arrays(n: int, n_classes: int, seed: int) -> tuple[Pixels, list[int]]:
    """Random pixels ``[n, 3072]``, classes as even as ``n`` allows."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n) % n_classes)
    return generator.integers(0, 256, (n, 3072), dtype=np.uint8), [int(x) for x in labels]


def write_cifar10_binary(root: Path, per_file: int = 20) -> None:
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    (folder / "batches.meta.txt").write_text("\n".join(CIFAR10_NAMES) + "\n\n")
    for seed, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        pixels, labels = cifar_arrays(per_file, 10, seed)
        rows = [bytes([label]) + row.tobytes() for label, row in zip(labels, pixels, strict=True)]
        (folder / f"{name}.bin").write_bytes(b"".join(rows))


def write_cifar10_python(root: Path, per_file: int = 20) -> None:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    names = [pickled_string(name.encode()) for name in CIFAR10_NAMES]
    meta = {b"label_names": pickled_list(names), b"num_cases_per_batch": pickled_int(per_file)}
    (folder / "batches.meta").write_bytes(pickled_file(meta))
    for seed, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        pixels, labels = cifar_arrays(per_file, 10, seed)
        content = {
            b"batch_label": pickled_string(b"a batch"),
            b"labels": pickled_list([pickled_int(label) for label in labels]),
            b"data": pickled_array(pixels),
        }
        (folder / name).write_bytes(pickled_file(content))


def pickled_file(content: dict[bytes, bytes]) -> bytes:
    """A dictionary of pickled values as Python 2 wrote it, protocol 2."""
    items = b"".join(pickled_string(key) + value for key, value in content.items())
    return b"\x80\x02}(" + items + b"u."


def pickled_string(text: bytes) -> bytes:
    return b"T" + struct.pack("<i", len(text)) + text


def pickled_int(number: int) -> bytes:
    return b"J" + struct.pack("<i", number)


def pickled_list(values: list[bytes]) -> bytes:
    return b"](" + b"".join(values) + b"e"


def pickled_array(array: Pixels) -> bytes:
    """An array as Python 2 with the numpy of its day pickled it: raw bytes in a byte string."""
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    kind = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN" + 2 * pickled_int(-1) + b"K\x00tb"
    shape = b"(" + b"".join(pickled_int(side) for side in array.shape) + b"t"
    return empty + b"(K\x01" + shape + kind + b"\x89" + pickled_string(array.tobytes()) + b"tb"


def write_picture(path: Path, width: int = 8, height: int = 8, value: int = 0) -> None:
    """A picture of one grey, so that it can be told from others after resizing."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (value,) * 3).save(path)


def write_class_folders(folder: Path, counts: dict[str, int], suffix: str = ".png") -> None:
    """``folder/CLASS/0.png`` and so on, of 8 x 8 pixels; the first class is the darkest."""
    for number, (name, count) in enumerate(counts.items()):
        for row in range(count):
            write_picture(folder / name / f"{row}{suffix}", value=20 * number)
