"""What is timed of the pursuits: many signals over one dictionary, and whole images by patches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isqrt
from typing import Any, ClassVar

import torch
from torch import Tensor

from benchmarks.photographs import PATCH, crop, crop_patches, patch_dictionary
from benchmarks.problems import data_of

RULES = ("omp", "ols")


@dataclass(frozen=True)
class OmpProblem:
    """At most ``n_nonzero`` atoms per signal, chosen by the rule ``selection``."""

    name: str
    x: Tensor
    dictionary: Tensor
    n_nonzero: int
    selection: str
    op: ClassVar[str] = "omp"

    @property
    def work(self) -> int:
        """B x N x K: what a slow contestant's time grows with."""
        return len(self.x) * len(self.dictionary) * self.n_nonzero

    @property
    def facts(self) -> dict[str, Any]:
        """For the JSON."""
        return {"max_nonzero": self.n_nonzero, "selection": self.selection}

    def first(self, n_signals: int, n_atoms: int | None = None) -> OmpProblem:
        """A smaller problem of the same kind."""
        return replace(self, x=self.x[:n_signals], dictionary=self.dictionary[:n_atoms])

    def by(self, selection: str) -> OmpProblem:
        """The same data by another rule."""
        return replace(self, name=_by(self.name, selection), selection=selection)


@dataclass(frozen=True)
class PatchProblem:
    """Images rebuilt from K atoms per patch, stride 1, each patch's mean taken out and given back.

    ``images`` are ``[B, C, H, W]`` in [0, 1], atoms ``[N, C * 64]``, channel by channel. ``x`` are
    the patches as they are coded, ``[B * P, C * 64]``: what the coding alone gets.
    """

    name: str
    images: Tensor
    x: Tensor
    dictionary: Tensor
    n_nonzero: int
    selection: str
    op: ClassVar[str] = "patches"

    @property
    def coding(self) -> OmpProblem:
        """The pursuit in it."""
        return OmpProblem(self.name, self.x, self.dictionary, self.n_nonzero, self.selection)

    @property
    def work(self) -> int:
        """P x N x K: what a slow contestant's time grows with."""
        return self.coding.work

    @property
    def facts(self) -> dict[str, Any]:
        """For the JSON."""
        return {**self.coding.facts, "images": list(self.images.shape)}

    def first(self, n_signals: int, n_atoms: int | None = None) -> PatchProblem:
        """A smaller problem of the same kind."""
        n_starts = min(isqrt(n_signals), *(side - PATCH + 1 for side in self.images.shape[2:]))
        side = n_starts + PATCH - 1
        images = self.images[:1, :, :side, :side].contiguous()
        each_row = torch.arange(n_starts)[:, None] * (self.images.shape[3] - PATCH + 1)
        x = self.x[(each_row + torch.arange(n_starts)).flatten()]
        return replace(self, images=images, x=x, dictionary=self.dictionary[:n_atoms])

    def by(self, selection: str) -> PatchProblem:
        """The same images by another rule."""
        return replace(self, name=_by(self.name, selection), selection=selection)


def _by(name: str, selection: str) -> str:
    return f"{name.rpartition(' ')[0]} {selection}"


@dataclass(frozen=True)
class OmpSpec:
    """What to build: ``kind`` is ``"concepts"`` or ``"patches"``, of colour where M = 192."""

    kind: str
    n_signals: int
    n_features: int
    n_atoms: int
    n_nonzero: int
    selection: str

    @property
    def name(self) -> str:
        """Reads ``patches M64 N256 B10000 K5 omp``."""
        sizes = f"M{self.n_features} N{self.n_atoms} B{self.n_signals} K{self.n_nonzero}"
        return f"{self.kind} {sizes} {self.selection}"

    def build(self) -> OmpProblem:
        """Makes the data; the same spec gives the same data."""
        x, dictionary = data_of(self.kind, self.n_signals, self.n_features, self.n_atoms)
        return OmpProblem(self.name, x, dictionary, self.n_nonzero, self.selection)


@dataclass(frozen=True)
class PatchSpec:
    """What to build: one square image of ``size`` pixels, gray (C = 1) or colour (C = 3)."""

    size: int
    n_channels: int
    n_atoms: int
    n_nonzero: int
    selection: str

    @property
    def name(self) -> str:
        """Reads ``image 224x224x1 N256 K5 omp``."""
        shape = f"{self.size}x{self.size}x{self.n_channels}"
        return f"image {shape} N{self.n_atoms} K{self.n_nonzero} {self.selection}"

    def build(self) -> PatchProblem:
        """Makes the data; the same spec gives the same data."""
        images = crop(self.size, self.n_channels)
        x = crop_patches(self.size, self.n_channels)
        dictionary = patch_dictionary(self.n_atoms, self.n_channels)
        return PatchProblem(self.name, images, x, dictionary, self.n_nonzero, self.selection)


# Kind, the batches, M, N, K.
_SIGNALS: dict[str, tuple[tuple[str, tuple[int, ...], int, int, int], ...]] = {
    "tiny": (
        ("patches", (16,), 64, 32, 3),
        ("patches", (1,), 192, 32, 3),
        ("concepts", (8,), 16, 32, 4),
    ),
    "small": (
        ("patches", (1, 64, 1000), 64, 256, 5),
        ("patches", (1, 64, 1000), 192, 512, 10),
        ("concepts", (1, 32), 512, 1024, 16),
    ),
    "full": (
        ("patches", (1, 64, 10_000, 100_000), 64, 256, 5),
        ("patches", (1, 64, 10_000, 100_000), 64, 256, 10),
        ("patches", (1, 64, 10_000, 100_000), 192, 512, 10),
        ("concepts", (1, 64, 1024), 512, 4096, 32),
    ),
}
OMP: dict[str, tuple[OmpSpec, ...]] = {
    size: tuple(
        OmpSpec(kind, n_signals, n_features, n_atoms, n_nonzero, rule)
        for kind, batches, n_features, n_atoms, n_nonzero in table
        for n_signals in batches
        for rule in RULES
    )
    for size, table in _SIGNALS.items()
}
# Pixels of a side, C, N, K.
_IMAGES: dict[str, tuple[tuple[int, int, int, int], ...]] = {
    "tiny": ((16, 1, 32, 3), (16, 3, 32, 3)),
    "small": ((64, 1, 256, 5), (64, 3, 512, 10)),
    "full": ((224, 1, 256, 5), (224, 1, 256, 10), (224, 3, 512, 10)),
}
PATCHES: dict[str, tuple[PatchSpec, ...]] = {
    size: tuple(PatchSpec(*sizes, rule) for sizes in table for rule in RULES)
    for size, table in _IMAGES.items()
}
