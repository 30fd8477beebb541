"""The data that is timed: concept-like LASSO problems and image patches, in named sizes.

All signals and atoms are float32, ``x [B, M]`` and ``dictionary [N, M]`` with atoms of norm 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

SIZES = ("tiny", "small", "full")
PATCH = 8  # pixels


@dataclass(frozen=True)
class LassoProblem:
    """min_z 1/2 ||x - z D||^2 + alpha ||z||_1 per signal, perhaps with z >= 0."""

    name: str
    x: Tensor
    dictionary: Tensor
    alpha: float
    nonnegative: bool = False

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
        return LassoProblem(self.name, x, dictionary, self.alpha, self.nonnegative)


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


# alpha: about 28 nonzeros per signal in the large problems, about 13 in the patches.
LASSO: dict[str, tuple[LassoSpec, ...]] = {
    "tiny": (
        LassoSpec("concepts", 8, 16, 32, 0.1),
        LassoSpec("concepts", 8, 16, 32, 0.1, nonnegative=True),
        LassoSpec("patches", 16, 64, 32, 0.4),
    ),
    "small": (
        LassoSpec("concepts", 256, 512, 512, 0.06),
        LassoSpec("patches", 1000, 64, 256, 0.4),
    ),
    "full": (
        LassoSpec("concepts", 1024, 512, 512, 0.06),
        LassoSpec("concepts", 1024, 512, 1024, 0.075),
        LassoSpec("concepts", 1024, 512, 1024, 0.06, nonnegative=True),
        LassoSpec("concepts", 1024, 512, 4096, 0.1),
        LassoSpec("patches", 10_000, 64, 256, 0.4),
    ),
}
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


@cache
def concepts(n_signals: int, n_features: int, n_atoms: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draws atoms that are correlated like CLIP text embeddings, and mixtures of them.

    Atoms come in clusters of 8 near-synonyms whose coordinates have a power-law spectrum; the mean
    of all is removed, as concept decomposition does, and norms are set to 1. A signal is a mixture
    of 10 to 30 random atoms with gamma-distributed weights, plus noise of 20 % of its energy.

    Returns:
        x ``[B, M]``, dictionary ``[N, M]``, rows of norm 1.
    """
    draw = torch.Generator().manual_seed(seed)
    spectrum = torch.arange(1, n_features + 1).pow(-0.5)
    n_clusters = -(-n_atoms // 8)
    centres = torch.randn(n_clusters, n_features, generator=draw) * spectrum
    spread = torch.randn(n_clusters, 8, n_features, generator=draw) * spectrum
    atoms = (centres[:, None] + 0.8 * spread).reshape(-1, n_features)[:n_atoms]
    dictionary = _normalize(atoms - atoms.mean(dim=0))

    most = min(30, n_atoms)
    chosen = torch.rand(n_signals, n_atoms, generator=draw).topk(most, dim=1).indices
    n_active = torch.randint(min(10, n_atoms), most + 1, (n_signals, 1), generator=draw)
    # The sum of two exponentials has a gamma(2) distribution.
    weights = -torch.rand(2, n_signals, most, generator=draw).clamp_min(1e-7).log().sum(dim=0)
    weights = weights * (torch.arange(most) < n_active)
    clean = _normalize(torch.zeros(n_signals, n_atoms).scatter_(1, chosen, weights) @ dictionary)
    noise = _normalize(torch.randn(n_signals, n_features, generator=draw))
    return _normalize(0.8**0.5 * clean + 0.2**0.5 * noise), dictionary


@cache
def patches(n_signals: int, seed: int = 0) -> Tensor:
    """Cuts 8x8 gray patches from scikit-learn's two photographs; mean removed, spread 1.

    Returns:
        x ``[B, 64]``; patches with hardly any contrast are kept: users have them too.
    """
    draw = torch.Generator().manual_seed(seed)
    images = _photographs()
    which = torch.randint(len(images), (n_signals,), generator=draw)
    parts = []
    for i, image in enumerate(images):
        count = int((which == i).sum())
        top = torch.randint(image.shape[0] - PATCH + 1, (count, 1, 1), generator=draw)
        left = torch.randint(image.shape[1] - PATCH + 1, (count, 1, 1), generator=draw)
        step = torch.arange(PATCH)
        parts.append(image[top + step[:, None], left + step].reshape(count, -1))
    x = torch.cat(parts)[torch.randperm(n_signals, generator=draw)]
    x = x - x.mean(dim=1, keepdim=True)
    return x / x.std()


@cache
def patch_dictionary(n_atoms: int) -> Tensor:
    """Learns atoms ``[N, 64]`` from patches by 20 rounds of k-means on lines through the origin.

    Each patch belongs to the atom of largest |correlation|; each atom becomes the signed mean of
    its patches, or a random patch when it has none. Plain, deterministic, and no peer's work.
    """
    x = patches(20_000, seed=1)
    atoms = _normalize(x[x.norm(dim=1) > 1][:n_atoms])
    for _ in range(20):
        correlations = x @ atoms.T
        owner = correlations.abs().argmax(dim=1)
        sign = correlations.gather(1, owner[:, None]).sign()
        sums = torch.zeros_like(atoms).index_add_(0, owner, sign * x)
        is_empty = sums.norm(dim=1, keepdim=True) == 0
        atoms = _normalize(torch.where(is_empty, atoms.roll(1, dims=0) + atoms, sums))
    return atoms


@cache
def _photographs() -> list[Tensor]:
    from sklearn.datasets import load_sample_images

    images = [np.asarray(image, dtype=np.float32) for image in load_sample_images().images]
    return [torch.from_numpy(image.mean(axis=2) / 255) for image in images]


def _normalize(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=1)
