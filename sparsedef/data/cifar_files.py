"""The files of CIFAR-10 and CIFAR-100 as they are published, in two forms."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sparsedef.data.array_pickle import load_array_pickle

Pixels = npt.NDArray[np.uint8]  # [n, 3072]: 1024 red values row by row, then green, then blue
SIDE = 32


class Form(NamedTuple):
    """The files of one published form.

    Args:
        folder: That the archive unpacks to.
        train: Names of the training files.
        test: Name of the test file.
        names: Name of the file with the names of the classes.
    """

    folder: str
    train: tuple[str, ...]
    test: str
    names: str


class Published(NamedTuple):
    """How one data set is published.

    Args:
        title: Its name.
        n_classes: Number of classes.
        n_label_bytes: Before each image in the binary form; the last of them is the label.
        labels: Key of the labels in the python form.
        names: Key of the names of the classes in the python form.
        binary: Files of the binary form.
        python: Files of the python form.
    """

    title: str
    n_classes: int
    n_label_bytes: int
    labels: str
    names: str
    binary: Form
    python: Form


def _batches(suffix: str) -> tuple[str, ...]:
    return tuple(f"data_batch_{number}{suffix}" for number in range(1, 6))


CIFAR10 = Published(
    "CIFAR-10", 10, 1, "labels", "label_names",
    Form("cifar-10-batches-bin", _batches(".bin"), "test_batch.bin", "batches.meta.txt"),
    Form("cifar-10-batches-py", _batches(""), "test_batch", "batches.meta"),
)  # fmt: skip
CIFAR100 = Published(
    "CIFAR-100", 100, 2, "fine_labels", "fine_label_names",
    Form("cifar-100-binary", ("train.bin",), "test.bin", "fine_label_names.txt"),
    Form("cifar-100-python", ("train",), "test", "meta"),
)  # fmt: skip


class Files:
    """One form of one data set on the disk.

    Args:
        who: The caller, for messages.
        published: The data set.
        form: One of its forms.
        folder: Where the files are.

    Raises:
        FileNotFoundError: One of the files is missing.
    """

    def __init__(self, who: str, published: Published, form: Form, folder: Path) -> None:
        """Checks and keeps the settings; see the class."""
        for name in (*form.train, form.test, form.names):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{who}: {folder} has no {name} (unpack the archive anew)")
        self.who = who
        self.published = published
        self.form = form
        self.train = [folder / name for name in form.train]
        self.test = [folder / form.test]
        self.names = folder / form.names

    @classmethod
    def find(cls, who: str, published: Published, base: Path) -> Files | None:
        """Looks for the binary form and then the python form, in their folders and in ``base``."""
        for form in (published.binary, published.python):
            for folder in (base / form.folder, base):
                if (folder / form.test).is_file():
                    return cls(who, published, form, folder)
        return None

    def classes(self) -> list[str]:
        """Names of the classes, by label."""
        if self.form is self.published.binary:
            names = self.names.read_text(encoding="utf-8").split()
        else:
            found = load_array_pickle(self.who, self.names).get(self.published.names, [])
            names = [name.decode() if isinstance(name, bytes) else str(name) for name in found]
        if len(names) != self.published.n_classes:
            raise ValueError(
                f"{self.who}: {self.names} must name {self.published.n_classes} classes, "
                f"names {len(names)}"
            )
        return names

    def read(self, path: Path) -> tuple[Pixels, list[int]]:
        """Reads one file: pixels ``[n, 3072]`` and labels."""
        is_binary = self.form is self.published.binary
        pixels, labels = self._read_binary(path) if is_binary else self._read_python(path)
        n_classes = self.published.n_classes
        if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= n_classes:
            raise ValueError(
                f"{self.who}: {path} has labels outside 0 to {n_classes - 1}, so it is not "
                f"{self.published.title}"
            )
        return pixels, [int(label) for label in labels]

    def _read_binary(self, path: Path) -> tuple[Pixels, npt.NDArray[np.generic]]:
        n_label_bytes = self.published.n_label_bytes
        record = n_label_bytes + 3 * SIDE * SIDE
        content = np.fromfile(path, dtype=np.uint8)
        if content.size == 0 or content.size % record:
            raise ValueError(
                f"{self.who}: {path} must be whole records of {record} bytes, has "
                f"{content.size} bytes (unpack the archive anew)"
            )
        rows = content.reshape(-1, record)
        return rows[:, n_label_bytes:], rows[:, n_label_bytes - 1]

    def _read_python(self, path: Path) -> tuple[Pixels, npt.NDArray[np.generic]]:
        content = load_array_pickle(self.who, path)
        pixels, labels = content.get("data"), content.get(self.published.labels)
        n_values = 3 * SIDE * SIDE
        if (
            not isinstance(pixels, np.ndarray)
            or pixels.dtype != np.uint8
            or pixels.ndim != 2
            or pixels.shape[1] != n_values
            or len(pixels) == 0
        ):
            raise ValueError(f"{self.who}: {path} must hold data, uint8 [n, {n_values}]")
        if not isinstance(labels, list) or len(labels) != len(pixels):
            raise ValueError(
                f"{self.who}: {path} must hold {self.published.labels}, one for each image"
            )
        return pixels, np.array(labels)
