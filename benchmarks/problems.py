"""What is timed: LASSO problems and pursuits on concept-like data and patches, in named sizes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from benchmarks.data import PATCH, concepts, cosines, patch_dictionary, patches, raw_atoms


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

    @property
    def work(self) -> int:
        """B x N: what a slow contestant's time grows with."""
        return len(self.x) * len(self.dictionary)


@dataclass(frozen=True)
class OmpProblem:
    """At most ``n_nonzero`` atoms per signal, chosen by the rule ``selection``."""

    name: str
    x: Tensor
    dictionary: Tensor
    n_nonzero: int
    selection: str

    @property
    def work(self) -> int:
        """B x N x K: what a slow contestant's time grows with."""
        return len(self.x) * len(self.dictionary) * self.n_nonzero


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
        x, dictionary = _data(self.kind, self.n_signals, self.n_features, self.n_atoms)
        is_drawn = self.kind == "concepts"
        atoms = raw_atoms(self.n_features, self.n_atoms) if is_drawn else dictionary
        return LassoProblem(self.name, x, dictionary, self.alpha, self.nonnegative, cosines(atoms))


@dataclass(frozen=True)
class OmpSpec:
    """What to build: ``kind`` is ``"concepts"`` or ``"patches"``."""

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
        x, dictionary = _data(self.kind, self.n_signals, self.n_features, self.n_atoms)
        return OmpProblem(self.name, x, dictionary, self.n_nonzero, self.selection)


# alpha leaves 28 nonzeros per signal on average, found by bisection on 1,024 signals: (N, signed,
# nonnegative) for concepts of M = 512. For patches 13 of M = 64: where fewer are left out, SPAMS in
# float32 is a hair short of the gap and would be out of the race.
ALPHAS = (
    (512, 0.0604, 0.046),
    (1024, 0.0673, 0.0558),
    (4096, 0.0839, 0.0739),
    (10_000, 0.0947, 0.0848),
)
PATCH_ALPHAS = (0.4, 0.32)
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
_OMP: dict[str, tuple[tuple[str, int, int, int, int], ...]] = {
    "tiny": (("patches", 16, 64, 32, 3), ("concepts", 8, 16, 32, 4)),
    "small": (("patches", 1000, 64, 256, 5), ("concepts", 32, 512, 1024, 16)),
    "full": (
        ("patches", 10_000, 64, 256, 5),
        ("patches", 100_000, 64, 256, 5),
        ("patches", 10_000, 64, 256, 10),
        ("patches", 100_000, 64, 256, 10),
        ("concepts", 256, 512, 4096, 32),
    ),
}
OMP: dict[str, tuple[OmpSpec, ...]] = {
    size: tuple(OmpSpec(*sizes, rule) for sizes in table for rule in ("omp", "ols"))
    for size, table in _OMP.items()
}


def _data(kind: str, n_signals: int, n_features: int, n_atoms: int) -> tuple[Tensor, Tensor]:
    if kind == "concepts":
        return concepts(n_signals, n_features, n_atoms)
    assert n_features == PATCH**2
    return patches(n_signals), patch_dictionary(n_atoms)
