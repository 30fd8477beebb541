"""ISTA and FISTA on fused Triton kernels: two launches a step, codes never extrapolated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
from torch import Tensor

from sparsedef.backends.slots import lay_out
from sparsedef.backends.triton.lasso_kernels import (
    _certificate_kernel,
    _residual_kernel,
    _shrink_kernel,
)
from sparsedef.backends.triton.tiles import Tile, tile_for

_CHECK_EVERY = 10  # steps between two looks at the gap
_CHUNK_BYTES = 1 << 30  # working memory: iterates and residuals of the signals at work


def lasso(
    x: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    ridge: Tensor | None,
    init: Tensor | None,
    nonnegative: bool,
    tol: float,
    max_iter: int,
    algorithm: str,
    allow_tf32: bool,
    slots: int,
    max_memory: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Solves the LASSO of each signal by ``"ista"`` or ``"fista"`` with adaptive restart.

    Steps are counted as in the reference. With ``tol > 0`` the gap is looked at before the first
    step, then every ten: that look waits for the device once, to learn which signals leave the
    batch. ``tol = 0`` runs ``max_iter`` steps and never waits.

    Args:
        x: ``[B, M]``, contiguous, float32 or float64.
        dictionary: ``[N, M]``, contiguous.
        alpha: ``[B]``.
        init: ``[B, N]`` or ``None`` for zero codes.
        nonnegative: Whether z >= 0 is demanded.
        tol: Relative duality gap at which a signal is done.
        max_iter: Largest number of proximal steps.
        algorithm: ``"ista"`` or ``"fista"``.
        slots: Slots of the compact layout; 0 for dense codes.

    Returns:
        indices ``[B, slots]``, values ``[B, slots]`` (dense: ``[B, 0]``, ``[B, N]``), residual
        ``[B, M]``, relative gap ``[B]``, steps ``[B]``, status ``[B]``.
    """
    n_signals, n_atoms = x.shape[0], dictionary.shape[0]
    step = _step_size(dictionary)
    tile = tile_for(n_signals, x.shape[1], n_atoms, x.dtype)
    parts = []
    with _on_device(x):
        for part in _chunks(x, n_atoms):
            finite = x[part].isfinite().all(dim=1)
            solver = _Solver(
                x[part].where(finite[:, None], 0), dictionary, alpha[part], step, nonnegative, tile
            )
            solved = solver.run(
                None if init is None else init[part], tol, max_iter, algorithm == "fista"
            )
            parts.append(lay_out(*solved, tol, finite, slots))
    if len(parts) == 1:
        return parts[0]
    indices, values, residual, gap, n_iter, status = (
        torch.cat(outputs) for outputs in zip(*parts, strict=True)
    )
    return indices, values, residual, gap, n_iter, status


class _Solver:
    """One chunk of signals: its buffers, and the launches that fill them."""

    def __init__(
        self,
        x: Tensor,
        dictionary: Tensor,
        alpha: Tensor,
        step: Tensor,
        is_nonnegative: bool,
        tile: Tile,
    ) -> None:
        self.x, self.dictionary, self.alpha, self.step = x, dictionary, alpha, step
        self.is_nonnegative, self.tile = is_nonnegative, tile
        self.n_signals, self.n_features = x.shape
        self.n_atoms = len(dictionary)
        self.n_tiles = triton.cdiv(self.n_atoms, tile.columns)
        self.residual = torch.zeros_like(x)
        self.parts = x.new_empty(3, self.n_tiles, self.n_signals)

    def run(
        self, init: Tensor | None, tol: float, max_iter: int, has_momentum: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Iterates; returns codes ``[B, N]``, residual ``[B, M]``, gap ``[B]``, steps ``[B]``."""
        codes = self._start(init)
        current, other = codes, codes.clone()
        self.ahead = torch.empty_like(self.x) if has_momentum else self.residual
        self.turn = self.x.new_zeros(self.n_tiles, self.n_signals)
        self.pace = self.x.new_zeros(2, self.n_signals)
        self.momentum = self.x.new_zeros(self.n_signals)
        gap = self.x.new_zeros(self.n_signals)
        n_iter = torch.zeros(self.n_signals, dtype=torch.int32, device=self.x.device)
        rows = torch.arange(self.n_signals, device=self.x.device)
        for done in range(max_iter + 1):
            if len(rows) == 0:
                break
            self._residual(current, rows, done % 2, has_momentum)
            if done == max_iter or (tol > 0 and done % _CHECK_EVERY == 0):
                gap[rows] = self._gap(current, rows)
                n_iter[rows] = done
                if current is not codes:
                    codes[rows] = current[rows]
                rows = rows[gap[rows] > tol] if done < max_iter else rows[:0]
            if len(rows) and done < max_iter:
                self._shrink(current, other, rows, has_momentum)
                current, other = other, current
        return codes, self.residual, gap, n_iter

    def _start(self, init: Tensor | None) -> Tensor:
        if init is None:
            return self.x.new_zeros(self.n_signals, self.n_atoms)
        return init.where(self.dictionary.any(dim=1), 0)  # atoms of norm 0 stay unused

    def _residual(self, codes: Tensor, rows: Tensor, side: int, has_momentum: bool) -> None:
        _residual_kernel[self._grid(rows, self.n_features)](
            self.x,
            self.dictionary,
            codes,
            self.residual,
            self.ahead,
            self.turn,
            self.pace,
            self.momentum,
            rows,
            len(rows),
            self.n_signals,
            self.n_features,
            self.n_atoms,
            self.n_tiles,
            side,
            HAS_MOMENTUM=has_momentum,
            **self._launch,
        )

    def _shrink(self, codes: Tensor, other: Tensor, rows: Tensor, has_momentum: bool) -> None:
        _shrink_kernel[self._grid(rows, self.n_atoms)](
            self.ahead,
            self.dictionary,
            codes,
            other,
            self.alpha,
            self.step,
            self.momentum,
            self.turn,
            rows,
            len(rows),
            self.n_signals,
            self.n_features,
            self.n_atoms,
            HAS_MOMENTUM=has_momentum,
            IS_NONNEGATIVE=self.is_nonnegative,
            **self._launch,
        )

    def _gap(self, codes: Tensor, rows: Tensor) -> Tensor:
        """Relative duality gap of ``rows``; formula in ``sparsedef.backends.certificate``."""
        _certificate_kernel[self._grid(rows, self.n_atoms)](
            self.residual,
            self.dictionary,
            codes,
            self.alpha,
            self.parts,
            rows,
            len(rows),
            self.n_signals,
            self.n_features,
            self.n_atoms,
            IS_NONNEGATIVE=self.is_nonnegative,
            **self._launch,
        )
        tiny = torch.finfo(self.x.dtype).tiny
        parts, alpha, residual = self.parts[:, :, rows], self.alpha[rows], self.residual[rows]
        peak, slack, product = parts[0].amax(dim=0), parts[1].sum(dim=0), parts[2].sum(dim=0)
        scale = (alpha / peak.clamp_min(tiny)).where(peak > alpha, 1)
        spread = (1 - scale).square() * residual.square().sum(dim=1) / 2
        energy = self.x[rows].square().sum(dim=1) / 2
        gap = (spread + slack + (1 - scale) * product).clamp_min(0)
        return (gap / energy.clamp_min(tiny)).where(energy > 0, 0)

    def _grid(self, rows: Tensor, n_columns: int) -> tuple[int]:
        return (triton.cdiv(len(rows), self.tile.rows) * triton.cdiv(n_columns, self.tile.columns),)

    @property
    def _launch(self) -> dict[str, Any]:
        return {**self.tile.constants, **self.tile.options}


def _step_size(dictionary: Tensor) -> Tensor:
    """Returns 1 / L, ``[1]``, with L at most a few millionths above sigma_max(D)^2.

    With A the smaller Gram matrix, L = ||A^p||_F^(1/p) is never below its largest eigenvalue and
    at most min(M, N)^(1/2p) times that; p = 2^20 takes 20 squarings, which a GPU does far faster
    than an eigenvalue decomposition, and without waiting. In float64, whatever the input, because
    torch may be set to multiply float32 with 10-bit mantissas.
    """
    small = dictionary if dictionary.shape[0] <= dictionary.shape[1] else dictionary.mT
    power = small.double() @ small.double().mT
    tiny = torch.finfo(torch.float64).tiny
    log_bound = power.new_zeros(())
    for k in range(20):
        norm = power.norm().clamp_min(tiny)
        log_bound = log_bound + norm.log() / 2**k
        power = power / norm
        power = power @ power
    bound = (log_bound + power.norm().clamp_min(tiny).log() / 2**20).exp()
    margin = 1 + 8 * torch.finfo(dictionary.dtype).eps
    lowest = torch.finfo(dictionary.dtype).tiny
    step: Tensor = 1 / (bound * margin).clamp_min(lowest)
    return step.to(dictionary.dtype).reshape(1)


def _chunks(x: Tensor, n_atoms: int) -> Iterator[slice]:
    per_signal = x.element_size() * (2 * n_atoms + 3 * x.shape[1])
    size = max(1, _CHUNK_BYTES // per_signal)
    for start in range(0, max(len(x), 1), size):
        yield slice(start, start + size)


def _on_device(x: Tensor) -> AbstractContextManager[Any]:
    """Makes the tensors' device current: Triton launches there (the interpreter needs none)."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
