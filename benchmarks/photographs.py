"""Patches and crops of scikit-learn's two photographs, and dictionaries learned from them.

All is float32, gray (C = 1) or colour (C = 3); a patch is 8 x 8 pixels, channel by channel, so that
M = 64 C. The same arguments give the same data.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import unfold

from benchmarks.pursuit import least_squares, pursue

PATCH = 8  # pixels
LEARNED_FROM = 20_000  # patches
LEARNING_K = 5
ROUNDS = 12
TWINS = 0.98  # cosine of two atoms from which on one of them is given up


@cache
def patches(n_signals: int, n_channels: int = 1, seed: int = 0) -> Tensor:
    """Cuts patches; each loses its own mean, and all are scaled to spread 1 together.

    Returns:
        x ``[B, 64 * C]``. Patches with hardly any contrast are kept: users have them too. Those
        with none at all, 1 in 20,000, are not: a peer answers NaN and would be out of the race.
    """
    draw = torch.Generator().manual_seed(seed)
    images = _photographs(n_channels)
    n_drawn = n_signals + n_signals // 100 + 8
    which = torch.randint(len(images), (n_drawn,), generator=draw)
    step = torch.arange(PATCH)
    parts = []
    for i, image in enumerate(images):
        count = int((which == i).sum())
        top = torch.randint(image.shape[1] - PATCH + 1, (count, 1, 1), generator=draw)
        left = torch.randint(image.shape[2] - PATCH + 1, (count, 1, 1), generator=draw)
        windows = image[:, top + step[:, None], left + step]  # [C, B, 8, 8]
        parts.append(windows.movedim(0, 1).reshape(count, -1))
    x = torch.cat(parts)[torch.randperm(n_drawn, generator=draw)]
    x = x[x.amax(dim=1) > x.amin(dim=1)][:n_signals]
    x = x - x.mean(dim=1, keepdim=True)
    return x / x.std()


@cache
def crop(size: int, n_channels: int = 1) -> Tensor:
    """Cuts the middle out of the first photograph: ``[1, C, size, size]`` in [0, 1]."""
    image = _photographs(n_channels)[0]
    top, left = ((side - size) // 2 for side in image.shape[1:])
    return image[None, :, top : top + size, left : left + size].contiguous()


@cache
def crop_patches(size: int, n_channels: int = 1) -> Tensor:
    """Gives all patches of ``crop``, each without its mean: ``[(size - 7)^2, 64 * C]``."""
    x = unfold(crop(size, n_channels), PATCH).mT.flatten(0, 1)
    return (x - x.mean(dim=1, keepdim=True)).contiguous()


@cache
def patch_dictionary(n_atoms: int, n_channels: int = 1) -> Tensor:
    """Learns atoms ``[N, 64 * C]``, or takes them from the temporary file of an earlier process.

    The file's name holds a digest of all that the atoms depend on.
    """
    sources = b"".join(
        Path(__file__).with_name(name).read_bytes() for name in ("photographs.py", "pursuit.py")
    )
    key = hashlib.sha256(sources + torch.__version__.encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir(), f"sparsedef-bench-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    kept = folder / f"atoms-{key}-{n_atoms}x{n_channels}.npy"
    if not kept.exists():
        new = folder / f"{kept.stem}-{os.getpid()}.npy"
        np.save(new, learn(n_atoms, n_channels).numpy())
        os.replace(new, kept)
    return torch.from_numpy(np.load(kept))


def learn(n_atoms: int, n_channels: int = 1, n_rounds: int = ROUNDS) -> Tensor:
    """Learns atoms ``[N, 64 * C]`` by pursuits and least squares in turn, no peer's work nor ours.

    One thread for any setting, so that the atoms do not depend on it. Atoms that no patch chose,
    or that are nearly the same as another, begin anew at patches with a large residual.

    Source: Engan, Aase, Husoy, "Method of optimal directions for frame design", 1999.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        x = patches(LEARNED_FROM, n_channels, seed=1).double()
        atoms = _normalize(x[x.norm(dim=1) > 1][:n_atoms])
        for _ in range(n_rounds):
            atoms = _improve(x, atoms)
        return atoms.float().contiguous()
    finally:
        torch.set_num_threads(threads)


def _improve(x: Tensor, atoms: Tensor) -> Tensor:
    chosen, residual = pursue(x, atoms, LEARNING_K, "omp")
    values = least_squares(x, atoms, chosen)
    codes = x.new_zeros(len(x), len(atoms))
    codes.scatter_add_(1, chosen.clamp_min(0), values)
    gram = codes.T @ codes
    ridge = 1e-6 * gram.diagonal().mean()
    better = torch.linalg.solve(gram + ridge * torch.eye(len(atoms)).double(), codes.T @ x)
    better = _normalize(better)
    is_twin = ((better @ better.T).tril(-1).abs() > TWINS).any(dim=1)
    is_idle = ~(codes != 0).any(dim=0) | is_twin
    worst = residual.norm(dim=1).argsort(descending=True, stable=True)
    better[is_idle] = _normalize(x[worst[:: len(x) // len(atoms)][: int(is_idle.sum())]])
    return better


@cache
def _photographs(n_channels: int) -> list[Tensor]:
    from sklearn.datasets import load_sample_images

    images = [np.asarray(image, dtype=np.float32) for image in load_sample_images().images]
    if n_channels == 1:
        return [torch.from_numpy(image.mean(axis=2) / 255)[None] for image in images]
    return [torch.from_numpy(image / 255).permute(2, 0, 1).contiguous() for image in images]


def _normalize(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=1)
