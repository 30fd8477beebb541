"""How kernels are cut: one fixed choice per size bucket, so that no call pays for a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from sparsedef.backends.triton import is_interpreted


@dataclass(frozen=True)
class Tile:
    """How one program of a product kernel is cut: R signals x T columns, D of the sum at a time."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int

    @property
    def options(self) -> dict[str, int | bool]:
        """What Triton's launcher takes besides the arguments."""
        return {"num_warps": self.warps, "num_stages": self.stages, "enable_fp_fusion": True}

    @property
    def constants(self) -> dict[str, int]:
        """The kernels' compile-time sizes."""
        return {"ROWS": self.rows, "COLUMNS": self.columns, "DEPTH": self.depth}

    @property
    def launch(self) -> dict[str, Any]:
        """Both, for a launch."""
        return {**self.constants, **self.options}

    def __str__(self) -> str:
        """Rows x columns x depth."""
        return f"{self.rows}x{self.columns}x{self.depth}"


@dataclass(frozen=True)
class Span:
    """How a kernel that works on one signal is cut: how many numbers it looks at together."""

    features: int
    places: int  # of a support, at least K
    group: int = 16  # directions
    warps: int = 4

    @property
    def options(self) -> dict[str, int | bool]:
        """What Triton's launcher takes besides the arguments.

        Left to itself the compiler spills a little to save registers that nobody needs.
        """
        return {"num_warps": self.warps, "enable_fp_fusion": True, "maxnreg": 255}

    @property
    def constants(self) -> dict[str, int]:
        """The kernels' compile-time sizes; not every kernel has all of them."""
        return {"FEATURES": self.features, "PLACES": self.places, "GROUP": self.group}

    def launch(self, kernel: Any) -> dict[str, Any]:
        """What ``kernel`` takes of both, for a launch."""
        names = kernel.arg_names
        return {key: n for key, n in self.constants.items() if key in names} | self.options

    def __str__(self) -> str:
        """Features / places."""
        return f"{self.features}/{self.places}"


# Not yet measured on a GPU. Chosen so that a thread holds 8 to 32 sums, no kernel spills in 3xTF32
# (which keeps both halves of its operands in registers: hence the shallow MANY, 32 deep spills on
# sm_100, 128 columns everywhere), and all stages fit in shared memory (``compile_offline`` checks).
FEW = Tile(rows=16, columns=32, depth=32, warps=4, stages=3)
SOME = Tile(rows=64, columns=32, depth=32, warps=4, stages=3)
MANY = Tile(rows=128, columns=64, depth=16, warps=8, stages=4)
ODD = Tile(rows=64, columns=32, depth=16, warps=4, stages=3)
FEW_DOUBLE = Tile(rows=16, columns=32, depth=16, warps=2, stages=2)
MANY_DOUBLE = Tile(rows=32, columns=64, depth=16, warps=4, stages=2)

SMALLEST_COLUMNS = 32
MOST_FEATURES = {torch.float32: 256, torch.float64: 128}  # more in one group of directions spills
ALIGNMENT = 16  # numbers: when M and N are multiples of it, loads are wide
Buckets = tuple[tuple[int | None, Tile], ...]  # largest B, tile

# By dtype and whether M and N are aligned: narrow loads need more registers, so smaller tiles.
BUCKETS: dict[tuple[torch.dtype, bool], Buckets] = {
    (torch.float32, True): ((32, FEW), (4096, SOME), (None, MANY)),
    (torch.float32, False): ((32, FEW), (None, ODD)),
    (torch.float64, True): ((32, FEW_DOUBLE), (None, MANY_DOUBLE)),
    (torch.float64, False): ((32, FEW_DOUBLE), (None, MANY_DOUBLE)),
}


def tile_for(n_signals: int, n_features: int, n_atoms: int, dtype: torch.dtype) -> Tile:
    """Chooses the tile for a call; it stays the same while signals leave the batch."""
    is_aligned = n_features % ALIGNMENT == 0 and n_atoms % ALIGNMENT == 0
    for limit, tile in BUCKETS[dtype, is_aligned]:
        if limit is None or n_signals <= limit:
            return tile
    raise AssertionError("the last bucket has no limit")


def span_for(n_features: int, n_nonzero: int, dtype: torch.dtype) -> Span:
    """Chooses how kernels that work on one signal are cut."""
    features, places = (_power_of_two_above(n) for n in (n_features, n_nonzero))
    return Span(min(features, MOST_FEATURES[dtype]), places)


def _power_of_two_above(n: int) -> int:
    return max(16, 1 << (n - 1).bit_length())


def precision(dtype: torch.dtype, allow_tf32: bool) -> str:
    """Chooses how kernels multiply: see ``lasso_kernels``.

    All GPUs that the backend takes have tensor cores, on which three TF32 products beat one in
    IEEE float32 and lose some 2^-22 of relative accuracy, as much as the sum's rounding. The
    interpreter multiplies as numpy does, whatever it is told.
    """
    if dtype == torch.float64:
        return "ieee"
    if allow_tf32:
        return "tf32"
    return "ieee" if is_interpreted() else "tf32x3"
