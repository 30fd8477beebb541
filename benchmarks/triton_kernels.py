"""The Triton kernels one by one: what each tile reaches, beside torch's plain product."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from sparsedef.backends.triton.iterates import Iterates
from sparsedef.backends.triton.lasso import _prepare
from sparsedef.backends.triton.tiles import Tile
from sparsedef.testing import make_problem

SIZES = {
    "tiny": ((8, 16, 32), (8, 16, 48)),
    "full": (
        (32, 512, 4096),
        (1024, 512, 4096),
        (8192, 512, 4096),
        (8192, 512, 1024),
        (100_000, 64, 256),
        (100_000, 64, 128),
    ),
}  # B, M, N
TILES = (
    Tile(16, 32, 32, 2, 3),
    Tile(32, 32, 32, 4, 3),
    Tile(64, 32, 32, 4, 3),
    Tile(64, 64, 16, 4, 3),
    Tile(64, 64, 32, 4, 3),
    Tile(64, 64, 32, 8, 3),
    Tile(128, 64, 16, 8, 4),
    Tile(128, 64, 32, 8, 2),
    Tile(128, 128, 16, 8, 3),
)
Measure = Callable[[Callable[[], Any]], dict[str, float]]


def kernel_rows(device: torch.device, size: str, measure: Measure) -> Iterator[dict[str, Any]]:
    """One row per problem, kernel and tile: milliseconds and TFLOP/s, launch included."""
    for n_signals, n_features, n_atoms in SIZES[size]:
        x, dictionary = make_problem(n_signals, n_features, n_atoms, dtype=torch.float32)
        x, dictionary = x.to(device), dictionary.to(device)
        name = f"M{n_features} N{n_atoms} B{n_signals}"
        for kernel, call in _torch_calls(x, dictionary):
            yield _row(name, kernel, "torch", _flop(kernel, x, dictionary), measure(call))
        for tile in TILES:
            for kernel, call in _kernel_calls(x, dictionary, tile):
                yield _row(name, kernel, str(tile), _flop(kernel, x, dictionary), measure(call))


def _flop(kernel: str, x: torch.Tensor, dictionary: torch.Tensor) -> int:
    n_atoms, n_features = dictionary.shape
    return 2 * len(x) * n_atoms * (n_atoms if kernel.startswith("gram_step") else n_features)


def _row(
    problem: str, kernel: str, name: str, flop: int, times: dict[str, float]
) -> dict[str, Any]:
    rate = flop / times["median_ms"] / 1e9
    return {"problem": problem, "kernel": kernel, "name": name, **times, "tflops": rate}


def _torch_calls(
    x: torch.Tensor, dictionary: torch.Tensor
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The plain products of a step, in float32 and in TF32."""
    before = torch.get_float32_matmul_precision()
    try:
        for setting, how in (("highest", ""), ("high", " tf32")):
            torch.set_float32_matmul_precision(setting)
            codes = x @ dictionary.T
            if len(dictionary) <= 2 * x.shape[1]:
                gram = dictionary @ dictionary.T
                yield f"gram_step{how}", lambda codes=codes, gram=gram: codes @ gram
            else:
                yield f"residual{how}", lambda codes=codes: x - codes @ dictionary
                yield f"shrink{how}", lambda: x @ dictionary.T
    finally:
        torch.set_float32_matmul_precision(before)


def _kernel_calls(
    x: torch.Tensor, dictionary: torch.Tensor, tile: Tile
) -> Iterator[tuple[str, Callable[[], Any]]]:
    alpha = x.new_full((len(x),), 0.1)
    is_gram = len(dictionary) <= 2 * x.shape[1]
    codes = x @ dictionary.T
    other = codes.clone()
    rows = torch.arange(len(x), device=x.device)
    for allow_tf32 in (False, True):
        atoms = _prepare(dictionary, None, is_gram, tile, allow_tf32)
        state = Iterates(x, atoms, alpha, False, True)
        state.run(None, 0.0, 2)  # compiles, and fills the state with true iterates
        how = " tf32" if allow_tf32 else ""
        if is_gram:
            yield f"gram_step{how}", partial(state.gram_step, codes, other, rows, 0)
        else:
            residual = partial(state.make_residual, codes, rows, True, atoms.fast)
            yield f"residual{how}", residual
            yield f"shrink{how}", partial(state.shrink, codes, other, rows)
        if not allow_tf32:
            yield "certificate", partial(state.gap, codes, rows)
