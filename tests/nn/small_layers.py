"""The layers under test: each is made small, with an input of its kind."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sparsedef.nn import OMP, PatchOMP, SparseCode, SparseDenoise
from sparsedef.nn.dictionary import DictionaryLayer
from sparsedef.testing import make_problem

Maker = Callable[..., DictionaryLayer]
N_ATOMS, N_FEATURES = 24, 16  # 4 x 4 patches of one channel


def atoms(dtype: torch.dtype = torch.float64) -> Tensor:
    return make_problem(1, N_FEATURES, N_ATOMS, dtype=dtype)[1]


LAYERS: dict[str, Maker] = {
    "SparseCode": lambda d=None, **o: SparseCode(atoms() if d is None else d, 0.1, **o),
    "SparseCode-relative": lambda d=None, **o: SparseCode(
        atoms() if d is None else d, 0.2, relative=True, nonnegative=True, **o
    ),
    "OMP": lambda d=None, **o: OMP(atoms() if d is None else d, 3, **o),
    "PatchOMP": lambda d=None, **o: PatchOMP(atoms() if d is None else d, 3, stride=2, **o),
    "SparseDenoise-lasso": lambda d=None, **o: SparseDenoise(
        atoms() if d is None else d, 0.1, stride=3, **o
    ),
    "SparseDenoise-omp": lambda d=None, **o: SparseDenoise(
        atoms() if d is None else d, n_nonzero=3, tol=1e-3, standardize="zscore", **o
    ),
}


def make_input(name: str, *leading: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Signals ``[*leading, 16]`` or images ``[*leading, 1, 9, 10]``, seeded."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, 9, 10) if is_for_images(name) else (N_FEATURES,)
    return torch.rand(*leading, *shape, generator=generator, dtype=torch.float64).to(dtype)


def is_for_images(name: str) -> bool:
    return "Patch" in name or "Denoise" in name
