"""Training patches of a data set on their way to a file, stopped and continued at will."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from sparsedef.data import Dataset
from sparsedef.defenses.patch_dictionary import PatchRecipe, training_patches
from sparsedef.streams.plan import Plan, check_same, read_json, write_json
from sparsedef.streams.progress import show_progress
from sparsedef.whole_file import remove_leftovers

EVERY = 10.0  # seconds between two notes of how far the work is
AT_ONCE = 2**20  # numbers in images that are cut together
SAMPLE = 65536  # rows read together


@dataclass(frozen=True)
class PatchJob:
    """Training patches on their way to a file.

    Args:
        out: The file; until it is done ``out.part`` and ``out.part.json`` are, afterwards
            ``out.json``, which tells how it was made.
        dataset: Whose training images are cut.
        n_images: How many of them at most, from the first.
        recipe: How.
    """

    out: Path
    dataset: Dataset
    n_images: int
    recipe: PatchRecipe

    @property
    def images(self) -> Tensor:
        """The images that are cut, ``[B, 3, H, W]``."""
        return self.dataset.train.images[: self.n_images]

    @property
    def per_image(self) -> int:
        """Patches of each image."""
        height, width = self.images.shape[-2:]
        return self.recipe.rows(height, width)

    @property
    def n_rows(self) -> int:
        """Patches of all images."""
        return self.per_image * len(self.images)

    @property
    def about(self) -> Path:
        """Tells how the file was made; it is there when the file is."""
        return self._beside(".json")

    @property
    def plan(self) -> Plan:
        """All that the patches depend on."""
        ids = "\n".join(self.dataset.train.ids[: self.n_images])
        return {
            "dataset": self.dataset.name,
            "images": list(self.images.shape),
            "ids": hashlib.sha256(ids.encode()).hexdigest()[:16],
            "recipe": asdict(self.recipe),
        }

    def run(self, *, is_silent: bool = False) -> None:
        """Writes the file, from where an earlier run of the same plan was stopped.

        Raises:
            ValueError: What is there was begun with other settings.
        """
        name = self.out.name
        way_out = f"Give another --out, or the settings of before, or delete {name}*"
        done = read_json(self.about, way_out)
        if done is not None:
            check_same(self.plan, done["plan"], self.about, way_out)
        if self.out.exists():
            if done is None:
                raise ValueError(
                    f"{self.out} is there, and nothing tells how it was made. {way_out}"
                )
            self._beside(".part.json").unlink(missing_ok=True)
            return
        state = read_json(self._beside(".part.json"), way_out)
        if state is not None:
            check_same(self.plan, state["plan"], self._beside(".part.json"), way_out)
        self._cut(0 if state is None else state["n_done"], is_silent=is_silent)
        about = {"plan": self.plan, "n_signals": self.n_rows, "alpha": self._alpha()}
        write_json(self.about, about)
        os.replace(self._beside(".part"), self.out)
        self._beside(".part.json").unlink(missing_ok=True)
        remove_leftovers(self.out.parent, name)

    def _beside(self, ending: str) -> Path:
        return self.out.with_name(self.out.name + ending)

    def _cut(self, first: int, *, is_silent: bool) -> None:
        """Writes the patches of the images from number ``first`` on, and now and then how far."""
        part = self._beside(".part")
        shape = (self.n_rows, self.recipe.n_features)
        if first == 0 or not part.exists():
            first, mode = 0, "w+"
        else:
            mode = "r+"
        rows = np.lib.format.open_memmap(part, mode=mode, dtype=np.float32, shape=shape)
        # random, so that rows that lie together are not of one image
        place = np.random.default_rng((self.recipe.seed, self.n_rows)).permutation(self.n_rows)
        noted = time.monotonic()
        step = max(1, AT_ONCE // self.images[0].numel())
        n_images = len(self.images)
        total, before = n_images * self.per_image, first * self.per_image
        with show_progress(total, before, "patches", is_silent=is_silent) as bar:
            for start in range(first, n_images, step):
                some = self.images[start : start + step].float()
                found = training_patches(some, self.recipe, first=start)
                here = slice(start * self.per_image, start * self.per_image + len(found))
                rows[place[here]] = found.numpy()
                bar.update(len(found))
                if time.monotonic() - noted >= EVERY or start + step >= n_images:
                    self._note(rows, start + len(some))
                    noted = time.monotonic()

    def _note(self, rows: np.memmap[Any, Any], n_done: int) -> None:
        """Says that the patches of ``n_done`` images are on disk, when they are."""
        rows.flush()
        write_json(self._beside(".part.json"), {"plan": self.plan, "n_done": n_done})

    def _alpha(self) -> float:
        """The penalty that RegionSparse learns with: 1, in units of what was not normalised."""
        if self.recipe.standardize == "zscore":
            return 1.0
        total, squares = np.zeros(self.recipe.n_features), np.zeros(self.recipe.n_features)
        for rows in self._read():
            total += rows.sum(axis=0)
            squares += np.square(rows).sum(axis=0)
        variance = squares / self.n_rows - np.square(total / self.n_rows)
        return float(np.sqrt(variance.mean()))

    def _read(self) -> Iterator[np.ndarray[Any, Any]]:
        rows = np.load(self._beside(".part"), mmap_mode="r")
        for start in range(0, self.n_rows, SAMPLE):
            yield np.asarray(rows[start : start + SAMPLE], np.float64)
