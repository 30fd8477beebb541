"""The Triton kernels one by one: what each tile reaches, beside torch's plain product."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from sparsedef.backends.triton.lasso import _Solver, _step_size
from sparsedef.backends.triton.tiles import Tile
from sparsedef.testing import make_problem

SIZES = {
    "tiny": ((8, 16, 32),),
    "full": ((32, 512, 4096), (1024, 512, 4096), (8192, 512, 4096), (100_000, 64, 256)),
}  # B, M, N
TILES = (
    Tile(16, 32, 32, 2, 3),
    Tile(32, 32, 32, 4, 3),
    Tile(64, 32, 32, 4, 3),
    Tile(64, 64, 16, 4, 3),
    Tile(64, 64, 32, 4, 3),
    Tile(64, 64, 32, 8, 3),
    Tile(128, 64, 32, 8, 3),
    Tile(128, 128, 16, 8, 3),
)
Measure = Callable[[Callable[[], Any]], dict[str, float]]


def kernel_rows(device: torch.device, size: str, measure: Measure) -> Iterator[dict[str, Any]]:
    """One row per problem, kernel and tile: milliseconds and TFLOP/s, launch included."""
    for n_signals, n_features, n_atoms in SIZES[size]:
        x, dictionary = make_problem(n_signals, n_features, n_atoms, dtype=torch.float32)
        x, dictionary = x.to(device), dictionary.to(device)
        name = f"M{n_features} N{n_atoms} B{n_signals}"
        flop = 2 * n_signals * n_features * n_atoms
        for kernel, call in _torch_calls(x, dictionary):
            yield _row(name, kernel, "torch", flop, measure(call))
        for tile in TILES:
            for kernel, call in _kernel_calls(x, dictionary, tile):
                yield _row(name, kernel, str(tile), flop, measure(call))


def _row(
    problem: str, kernel: str, name: str, flop: int, times: dict[str, float]
) -> dict[str, Any]:
    rate = flop / times["median_ms"] / 1e9
    return {"problem": problem, "kernel": kernel, "name": name, **times, "tflops": rate}


def _torch_calls(
    x: torch.Tensor, dictionary: torch.Tensor
) -> Iterator[tuple[str, Callable[[], Any]]]:
    codes = x @ dictionary.T
    yield "residual", lambda: x - codes @ dictionary
    yield "shrink", lambda: x @ dictionary.T


def _kernel_calls(
    x: torch.Tensor, dictionary: torch.Tensor, tile: Tile
) -> Iterator[tuple[str, Callable[[], Any]]]:
    alpha = x.new_full((len(x),), 0.1)
    solver = _Solver(x, dictionary, alpha, _step_size(dictionary), False, tile)
    solver.run(None, 0.0, 2, True)  # compiles, and fills the state with true iterates
    codes = x @ dictionary.T
    other = codes.clone()
    rows = torch.arange(len(x), device=x.device)
    yield "residual", lambda: solver._residual(codes, rows, 0, True)
    yield "shrink", lambda: solver._shrink(codes, other, rows, True)
    yield "certificate", lambda: solver._gap(codes, rows)
