"""OMP on Triton kernels: a step is one product with a fused search, and one look at each signal."""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

from sparsedef.backends.base import Status
from sparsedef.backends.memory import budget, demand
from sparsedef.backends.pursuit import (
    dependence_level,
    most_entries,
    power_of_two,
    rounding_level,
)
from sparsedef.backends.triton.launch import grid, on_device
from sparsedef.backends.triton.omp_kernels import _correlate_kernel, _outside_kernel, _renew_kernel
from sparsedef.backends.triton.pursuit_kernels import DONE, RESTART, STEP, _pick_kernel
from sparsedef.backends.triton.support_kernels import _finish_kernel, _settle_kernel
from sparsedef.backends.triton.tiles import SMALLEST_COLUMNS, Tile, precision, span_for, tile_for

_LOOK = 8  # steps between two looks (waits for the device) at which signals are at work


def omp(
    x: Tensor,
    dictionary: Tensor,
    tol: Tensor,
    limits: Tensor | None,
    n_nonzero: int,
    selection: str,
    nonnegative: bool,
    max_memory: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Codes each signal greedily; see ``sparsedef.omp`` for the problem and the shapes.

    Two launches a step (nonnegative: three, ``ols`` five), whatever the sizes: no Gram matrix, and
    with rule ``omp`` nothing of size B x N. Waits for the device every eight steps, to leave out
    the signals that are done.

    Raises:
        ValueError: ``max_memory`` is too small for a single signal.

    Source: Pati, Rezaiifar, Krishnaprasad, 1993; Chen, Billings, Luo, 1989 (the OLS rule).
    """
    n_signals, n_features = x.shape
    is_ols = selection == "ols"
    most = _signals_at_once(x, dictionary, n_nonzero, is_ols, max_memory)
    tile = tile_for(min(n_signals, most), n_features, len(dictionary), x.dtype)
    outputs = (
        torch.full((n_signals, n_nonzero), -1, dtype=torch.int64, device=x.device),
        x.new_zeros(n_signals, n_nonzero),
        torch.empty_like(x),
        torch.zeros(n_signals, dtype=torch.int32, device=x.device),
        torch.zeros(n_signals, dtype=torch.int32, device=x.device),
    )
    if limits is None:
        limits = torch.full((n_signals,), n_nonzero, dtype=torch.int32, device=x.device)
    limits = limits.clamp_max(n_nonzero).to(torch.int32)
    with on_device(x):
        norm2 = torch.linalg.vector_norm(dictionary, dim=1).square()
        for start in range(0, n_signals, most):
            part = slice(start, start + most)
            signals = x[part]
            finite = signals.isfinite().all(dim=1)
            signals = signals.where(finite[:, None], 0)
            scale = power_of_two(signals)
            signals *= scale[:, None]
            _, values, residual, _, status = pieces = tuple(each[part] for each in outputs)
            pursuits = _Pursuits(
                signals, dictionary, norm2, limits[part], pieces, is_ols, nonnegative, tile
            )
            pursuits.run(finite, tol[part].to(x.dtype) * scale.square())
            for output in (values, residual):
                output.div_(scale[:, None]).masked_fill_(~finite[:, None], torch.nan)
            status.masked_fill_(~finite, int(Status.NONFINITE))
            del pursuits
    return outputs


def _signals_at_once(
    x: Tensor, dictionary: Tensor, n_nonzero: int, is_ols: bool, max_memory: int
) -> int:
    n_atoms, n_features = dictionary.shape
    n_tiles = -(-n_atoms // SMALLEST_COLUMNS)
    signal = (n_nonzero + 4) * n_features + (n_nonzero + 1) * n_nonzero + 2 * n_tiles + 32
    if is_ols:
        signal += 2 * n_atoms
    demand(n_atoms + signal, max_memory, x.dtype, dictionary.shape, who="omp")
    return max(1, (budget(max_memory, x, n_atoms) - n_atoms) // signal)


class _Pursuits:
    """One chunk of signals at work: its buffers, and the launches that fill them."""

    def __init__(
        self,
        x: Tensor,
        dictionary: Tensor,
        norm2: Tensor,
        limits: Tensor,
        outputs: tuple[Tensor, ...],
        is_ols: bool,
        is_nonnegative: bool,
        tile: Tile,
    ) -> None:
        self.x, self.dictionary, self.norm2, self.limits = x, dictionary, norm2, limits
        self.indices, self.values, self.residual, self.n_chosen, self.status = outputs
        self.is_ols, self.is_nonnegative, self.tile = is_ols, is_nonnegative, tile
        self.precision = precision(x.dtype, allow_tf32=False)
        self.n_signals, self.n_features = x.shape
        self.n_atoms, self.n_nonzero = len(dictionary), self.indices.shape[1]
        self.n_tiles = triton.cdiv(self.n_atoms, tile.columns)
        self.directions = x.new_empty(self.n_signals, self.n_nonzero, self.n_features)
        self.factor = x.new_empty(self.n_signals, self.n_nonzero, self.n_nonzero)
        self.targets = x.new_empty(self.n_signals, self.n_nonzero)
        self.outside = norm2.repeat(self.n_signals, 1) if is_ols else norm2
        self.correlations = torch.empty_like(self.outside)
        self.best = x.new_zeros(self.n_signals, self.n_tiles)
        self.atom = torch.zeros_like(self.best, dtype=torch.int32)
        self.n_entries = torch.zeros_like(self.n_chosen)
        self.dependent = dependence_level(x.dtype)
        self.span = span_for(self.n_features, self.n_nonzero, x.dtype)

    def run(self, finite: Tensor, tol: Tensor) -> None:
        """Codes all signals that are ``finite`` ``[B]``, up to ``tol`` ``[B]``; fills outputs."""
        self.residual.copy_(self.x)
        self.energy, self.tol = self.x.square().sum(dim=1), tol
        self.phase = finite.to(torch.int32) * (RESTART if self.is_ols else STEP)
        self.most = most_entries(self.limits)
        rows = torch.arange(self.n_signals, device=self.x.device)
        self.floor = self._rounding_floor(rows)
        n_steps = most_entries(self.n_nonzero) + 1 if self.is_nonnegative else self.n_nonzero
        for step in range(n_steps):
            if step and step % _LOOK == 0:
                rows = rows[self.phase[rows] != DONE]
                if len(rows) == 0:
                    break
            if step or self.is_nonnegative:
                self._score(rows, step)
            self._pick(rows)
            if self.is_nonnegative:
                self._settle(rows)
        self._finish()

    def _rounding_floor(self, rows: Tensor) -> Tensor:
        """Score at rounding level, ``[B]``; leaves the signed scores of the first step."""
        level = rounding_level(self.x.dtype)
        if not self.is_ols:
            self._correlate(rows, STEP, False)
            return self.best.amax(dim=1) * level
        self._correlate(rows, RESTART, False)
        return (torch.linalg.vector_norm(self.correlations, torch.inf, dim=1) * level).square()

    def _score(self, rows: Tensor, step: int) -> None:
        if not self.is_ols:
            self._correlate(rows, STEP, self.is_nonnegative)
            return
        if step:
            self._take_newest_out(rows)
        if self.is_nonnegative:
            if step:
                self._renew_outside(rows)
            self._correlate(rows, RESTART, True)

    def _correlate(self, rows: Tensor, phase: int, is_nonnegative: bool) -> None:
        _correlate_kernel[grid(self.tile, len(rows), self.n_atoms)](
            self.residual,
            self.dictionary,
            self.norm2,
            self.correlations,
            self.outside,
            self.best,
            self.atom,
            self.phase,
            rows,
            len(rows),
            self.n_features,
            self.n_atoms,
            PHASE=phase,
            IS_OLS=self.is_ols,
            IS_NONNEGATIVE=is_nonnegative,
            DEPENDENT=self.dependent,
            PRECISION=self.precision,
            **self.tile.launch,
        )

    def _take_newest_out(self, rows: Tensor) -> None:
        _outside_kernel[grid(self.tile, len(rows), self.n_atoms)](
            self.directions,
            self.targets,
            self.dictionary,
            self.norm2,
            self.correlations,
            self.outside,
            self.best,
            self.atom,
            self.n_chosen,
            self.phase,
            rows,
            len(rows),
            self.n_features,
            self.n_atoms,
            self.n_nonzero,
            PHASE=STEP,
            IS_NONNEGATIVE=self.is_nonnegative,
            DEPENDENT=self.dependent,
            PRECISION=self.precision,
            **self.tile.launch,
        )

    def _renew_outside(self, rows: Tensor) -> None:
        _renew_kernel[grid(self.tile, len(rows), self.n_atoms)](
            self.directions,
            self.dictionary,
            self.norm2,
            self.outside,
            self.n_chosen,
            self.phase,
            rows,
            len(rows),
            self.n_features,
            self.n_atoms,
            self.n_nonzero,
            PHASE=RESTART,
            PRECISION=self.precision,
            **self.tile.launch,
        )

    def _pick(self, rows: Tensor) -> None:
        launch: Any = _pick_kernel[(len(rows),)]
        launch(
            self.dictionary,
            self.norm2,
            self.residual,
            self.directions,
            self.factor,
            self.targets,
            self.best,
            self.atom,
            self.energy,
            self.tol,
            self.floor,
            self.limits,
            self.most,
            self.indices,
            self.n_chosen,
            self.n_entries,
            self.status,
            self.phase,
            rows,
            self.n_features,
            self.n_tiles,
            self.n_nonzero,
            HAS_DROPS=self.is_nonnegative,
            DEPENDENT=self.dependent,
            **self.span.launch(_pick_kernel),
        )

    def _settle(self, rows: Tensor) -> None:
        launch: Any = _settle_kernel[(len(rows),)]
        launch(
            self.residual,
            self.directions,
            self.factor,
            self.targets,
            self.values,
            self.energy,
            self.limits,
            self.indices,
            self.n_chosen,
            self.phase,
            rows,
            self.n_features,
            self.n_nonzero,
            IS_OLS=self.is_ols,
            **self.span.launch(_settle_kernel),
        )

    def _finish(self) -> None:
        launch: Any = _finish_kernel[(self.n_signals,)]
        launch(
            self.x,
            self.dictionary,
            self.residual,
            self.directions,
            self.factor,
            self.targets,
            self.indices,
            self.values,
            self.n_chosen,
            self.n_features,
            self.n_nonzero,
            IS_NONNEGATIVE=self.is_nonnegative,
            **self.span.launch(_finish_kernel),
        )
