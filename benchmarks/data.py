"""Data like text embeddings: atoms that are correlated, and mixtures of them.

All signals and atoms are float32, ``x [B, M]`` and ``dictionary [N, M]`` with atoms of norm 1; the
same arguments give the same data.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

SYNONYMS = 8  # atoms of one cluster
SPREAD = 0.8  # of synonyms around their cluster's centre, relative to the centres' own spread
DECAY = 0.35  # of the spectrum: coordinate i has a standard deviation of i^-DECAY
SHARED = 0.45  # of an atom's energy lies in the mean of all


@cache
def concepts(n_signals: int, n_features: int, n_atoms: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draws atoms that are correlated like CLIP text embeddings, and mixtures of them.

    The mean of all ``raw_atoms`` is removed, as concept decomposition does, and norms are set to 1.
    A signal is a mixture of 10 to 30 random atoms with gamma-distributed weights, plus noise of
    20 % of its energy.

    Returns:
        x ``[B, M]``, dictionary ``[N, M]``, rows of norm 1.
    """
    atoms = raw_atoms(n_features, n_atoms, seed)
    dictionary = _normalize(atoms - atoms.mean(dim=0))

    draw = torch.Generator().manual_seed(seed + 1)
    most = min(30, n_atoms)
    chosen = torch.rand(n_signals, n_atoms, generator=draw).topk(most, dim=1).indices
    n_active = torch.randint(min(10, n_atoms), most + 1, (n_signals, 1), generator=draw)
    # The sum of two exponentials has a gamma(2) distribution.
    weights = -torch.rand(2, n_signals, most, generator=draw).clamp_min(1e-7).log().sum(dim=0)
    weights = weights * (torch.arange(most) < n_active)
    clean = _normalize(torch.einsum("bk,bkm->bm", weights, dictionary[chosen]))
    noise = _normalize(torch.randn(n_signals, n_features, generator=draw))
    return _normalize(0.8**0.5 * clean + 0.2**0.5 * noise), dictionary


@cache
def raw_atoms(n_features: int, n_atoms: int, seed: int = 0) -> Tensor:
    """Draws clusters of near-synonyms, ``[N, M]`` of norm 1, around a mean that all atoms share.

    Centres and synonyms are Gaussians with a power-law spectrum. For M = 512 the cosines between
    atoms have 5th, 50th and 95th percentiles of about 0.35, 0.45 and 0.54.
    """
    draw = torch.Generator().manual_seed(seed)
    spectrum = _normalize(torch.arange(1, n_features + 1).pow(-DECAY)[None])
    mean = _normalize(torch.randn(1, n_features, generator=draw))
    n_clusters = -(-n_atoms // SYNONYMS)
    centres = torch.randn(n_clusters, 1, n_features, generator=draw)
    spread = torch.randn(n_clusters, SYNONYMS, n_features, generator=draw)
    own = (centres + SPREAD * spread) / (1 + SPREAD**2) ** 0.5 * spectrum
    own = own.reshape(-1, n_features)[:n_atoms]
    return _normalize(SHARED**0.5 * mean + (1 - SHARED) ** 0.5 * own)


def cosines(atoms: Tensor, n_sampled: int = 2048) -> tuple[float, float, float]:
    """Finds the 5th, 50th and 95th percentile of the cosines between (a sample of) the atoms."""
    draw = torch.Generator().manual_seed(0)
    some = _normalize(atoms[torch.randperm(len(atoms), generator=draw)[:n_sampled]])
    i, j = torch.triu_indices(len(some), len(some), 1)
    low, middle, high = np.quantile((some @ some.T)[i, j].numpy(), (0.05, 0.5, 0.95))
    return float(low), float(middle), float(high)


def _normalize(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=1)
