"""The data behind the problems: mixtures of correlated concepts, and patches of photographs.

All signals and atoms are float32, ``x [B, M]`` and ``dictionary [N, M]`` with atoms of norm 1; the
same arguments give the same data.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

PATCH = 8  # pixels
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
