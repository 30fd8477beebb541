"""What is timed of the LASSO: concept-like data and patches, in named sizes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from benchmarks.data import concepts, cosines, raw_atoms
from benchmarks.photographs import PATCH, patch_dictionary, patches


@dataclass(frozen=True)
class LassoProblem:
    """min_z 1/2 ||x - z D||^2 + alpha ||z||_1 per signal, perhaps with z >= 0.

    ``cosines`` are the 5th, 50th and 95th percentile between atoms, before their mean was removed.
    """

    name: str
    x: Tensor
    dictionary: Tensor
    alpha: float
    nonnegative: bool = False
    cosines: tuple[float, float, float] | None = None

    op: ClassVar[str] = "lasso"

    @property
    def work(self) -> int:
        """B x N: what a slow contestant's time grows with."""
        return len(self.x) * len(self.dictionary)

    @property
    def facts(self) -> dict[str, Any]:
        """For the JSON."""
        return {"alpha": self.alpha, "nonnegative": self.nonnegative, "cosines": self.cosines}

    def first(self, n_signals: int, n_atoms: int | None = None) -> LassoProblem:
        """A smaller problem of the same kind."""
        return replace(self, x=self.x[:n_signals], dictionary=self.dictionary[:n_atoms])


@dataclass(frozen=True)
class LassoSpec:
    """What to build: ``kind`` is ``"concepts"`` or ``"patches"``."""

    kind: str
    n_signals: int
    n_features: int
    n_atoms: int
    alpha: float
    nonnegative: bool = False

    @property
    def name(self) -> str:
        """Reads ``concepts M512 N1024 B1024``."""
        sizes = f"M{self.n_features} N{self.n_atoms} B{self.n_signals}"
        return f"{self.kind} {sizes}{' z>=0' if self.nonnegative else ''}"

    def build(self) -> LassoProblem:
        """Makes the data; the same spec gives the same data."""
        x, dictionary = data_of(self.kind, self.n_signals, self.n_features, self.n_atoms)
        is_drawn = self.kind == "concepts"
        atoms = raw_atoms(self.n_features, self.n_atoms) if is_drawn else dictionary
        return LassoProblem(self.name, x, dictionary, self.alpha, self.nonnegative, cosines(atoms))


# alpha leaves 28 nonzeros per signal on average, found by bisection on 1,024 signals: (N, signed,
# nonnegative) for concepts of M = 512. For patches 13 of M = 64: where fewer are left out, SPAMS in
# float32 is a hair short of the gap and would be out of the race.
ALPHAS = (
    (512, 0.0604, 0.046),
    (1024, 0.0673, 0.0558),
    (4096, 0.0839, 0.0739),
    (10_000, 0.0947, 0.0848),
)
PATCH_ALPHAS = (0.43, 0.34)
_BATCHES = {"small": (1, 64), "full": (1, 64, 1024, 8192)}
_PATCHES = {"small": 1000, "full": 10_000}


def _lasso_specs(size: str) -> tuple[LassoSpec, ...]:
    atoms = ALPHAS[:2] if size == "small" else ALPHAS
    return (
        *(
            LassoSpec("concepts", n_signals, 512, n_atoms, alphas[nonnegative], nonnegative)
            for n_atoms, *alphas in atoms
            for nonnegative in (False, True)
            for n_signals in _BATCHES[size]
        ),
        *(
            LassoSpec("patches", _PATCHES[size], PATCH**2, 256, alpha, nonnegative)
            for alpha, nonnegative in zip(PATCH_ALPHAS, (False, True), strict=True)
        ),
    )


LASSO: dict[str, tuple[LassoSpec, ...]] = {
    "tiny": (
        LassoSpec("concepts", 8, 16, 32, 0.1),
        LassoSpec("concepts", 8, 16, 32, 0.1, nonnegative=True),
        LassoSpec("patches", 16, 64, 32, 0.4),
    ),
    "small": _lasso_specs("small"),
    "full": _lasso_specs("full"),
}
# Whose memory is measured, and what it is bounded to: bytes for ``max_memory``.
MEMORY: dict[str, LassoSpec] = {
    "tiny": LassoSpec("concepts", 64, 16, 512, 0.1),
    "small": LassoSpec("concepts", 1024, 512, 1024, 0.0673),
    "full": LassoSpec("concepts", 8192, 512, 10_000, 0.0947),
}
MEMORY_BOUNDS = (None, 2**27)


def data_of(kind: str, n_signals: int, n_features: int, n_atoms: int) -> tuple[Tensor, Tensor]:
    """Signals ``[B, M]`` and atoms ``[N, M]`` of a kind; patches have M / 64 channels."""
    if kind == "concepts":
        return concepts(n_signals, n_features, n_atoms)
    n_channels = n_features // PATCH**2
    assert n_features == n_channels * PATCH**2
    return patches(n_signals, n_channels), patch_dictionary(n_atoms, n_channels)
