"""The iterates of ISTA and FISTA for one chunk of signals, and the launches that move them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from sparsedef.backends.triton.gram_kernels import _correlation_kernel, _gram_step_kernel
from sparsedef.backends.triton.lasso_kernels import (
    _certificate_kernel,
    _residual_kernel,
    _shrink_kernel,
)
from sparsedef.backends.triton.launch import grid
from sparsedef.backends.triton.tiles import Tile

_CHECK_EVERY = 10  # steps between two looks at the gap


@dataclass(frozen=True)
class Atoms:
    """What all chunks share.

    Attributes:
        dictionary: ``[N, M]``.
        gram: D D^T + diag(ridge), ``[N, N]``, in Gram form; ``None`` in direct form.
        ridge: ``[N]``.
        step: 1 / L, ``[1]``.
        tile: How the products are cut.
        exact: Precision of the products that make certificates.
        fast: Precision of the products of a step.
    """

    dictionary: Tensor
    gram: Tensor | None
    ridge: Tensor
    step: Tensor
    tile: Tile
    exact: str
    fast: str


class Iterates:
    """One chunk of signals: its buffers, and the launches that fill them."""

    def __init__(
        self, x: Tensor, atoms: Atoms, alpha: Tensor, is_nonnegative: bool, has_momentum: bool
    ) -> None:
        """Starts with signals ``x`` ``[B, M]``, all finite, and ``alpha`` ``[B]``."""
        self.x, self.atoms, self.alpha = x, atoms, alpha
        self.dictionary, self.tile = atoms.dictionary, atoms.tile
        self.is_nonnegative, self.has_momentum = is_nonnegative, has_momentum
        self.n_signals, self.n_features = x.shape
        self.n_atoms = len(atoms.dictionary)
        self.n_tiles = triton.cdiv(self.n_atoms, atoms.tile.columns)
        is_gram = atoms.gram is not None
        self.residual = torch.zeros_like(x)
        self.parts = x.new_empty(4, self.n_tiles, self.n_signals)
        self.turn = x.new_zeros(2 if is_gram else 1, self.n_tiles, self.n_signals)
        self.pace = x.new_zeros(2, self.n_signals)
        self.momentum = x.new_zeros(self.n_signals)
        self.ahead = torch.empty_like(x) if has_momentum and not is_gram else self.residual
        self.target = self.product = x  # of the Gram form only
        if is_gram:
            self.target = correlate(x, atoms.dictionary, atoms.tile, atoms.exact)
            self.product = torch.zeros_like(self.target) if has_momentum else self.target

    def run(
        self, init: Tensor | None, tol: float, max_iter: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Iterates; returns codes ``[B, N]``, residual ``[B, M]``, gap ``[B]``, steps ``[B]``."""
        codes = self._start(init)
        current, other = codes, codes.clone()
        gap = self.x.new_zeros(self.n_signals)
        n_iter = torch.zeros(self.n_signals, dtype=torch.int32, device=self.x.device)
        rows = torch.arange(self.n_signals, device=self.x.device)
        is_exact = self.atoms.gram is None and self.atoms.fast == self.atoms.exact
        for done in range(max_iter + 1):
            if len(rows) == 0:
                break
            if self.atoms.gram is None:
                self.make_residual(current, rows, self.has_momentum, self.atoms.fast, done % 2)
            if done == max_iter or (tol > 0 and done % _CHECK_EVERY == 0):
                if not is_exact:
                    self.make_residual(current, rows, False, self.atoms.exact)
                gap[rows] = self.gap(current, rows)
                n_iter[rows] = done
                if current is not codes:
                    codes[rows] = current[rows]
                rows = rows[gap[rows] > tol] if done < max_iter else rows[:0]
            if len(rows) and done < max_iter:
                if self.atoms.gram is None:
                    self.shrink(current, other, rows)
                else:
                    self.gram_step(current, other, rows, done % 2)
                current, other = other, current
        return codes, self.residual, gap, n_iter

    def _start(self, init: Tensor | None) -> Tensor:
        if init is None:
            return self.x.new_zeros(self.n_signals, self.n_atoms)
        return init.where(self.dictionary.any(dim=1), 0)  # atoms of norm 0 stay unused

    def make_residual(
        self, codes: Tensor, rows: Tensor, has_momentum: bool, precision: str, side: int = 0
    ) -> None:
        """Leaves the residual of ``codes`` and, with momentum, that of the point ahead."""
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
            PRECISION=precision,
            **self.tile.launch,
        )

    def shrink(self, codes: Tensor, other: Tensor, rows: Tensor) -> None:
        """Takes the second half of a step in direct form: ``other`` becomes the next iterate."""
        _shrink_kernel[self._grid(rows, self.n_atoms)](
            self.ahead,
            self.dictionary,
            codes,
            other,
            self.alpha,
            self.atoms.ridge,
            self.atoms.step,
            self.momentum,
            self.turn,
            rows,
            len(rows),
            self.n_signals,
            self.n_features,
            self.n_atoms,
            HAS_MOMENTUM=self.has_momentum,
            IS_NONNEGATIVE=self.is_nonnegative,
            PRECISION=self.atoms.fast,
            **self.tile.launch,
        )

    def gram_step(self, codes: Tensor, other: Tensor, rows: Tensor, side: int) -> None:
        """Takes a whole step in Gram form: ``other`` becomes the next iterate."""
        _gram_step_kernel[self._grid(rows, self.n_atoms)](
            self.target,
            self.atoms.gram,
            codes,
            other,
            self.product,
            self.alpha,
            self.atoms.step,
            self.turn,
            self.pace,
            rows,
            len(rows),
            self.n_signals,
            self.n_atoms,
            side,
            HAS_MOMENTUM=self.has_momentum,
            IS_NONNEGATIVE=self.is_nonnegative,
            PRECISION=self.atoms.fast,
            **self.tile.launch,
        )

    def gap(self, codes: Tensor, rows: Tensor) -> Tensor:
        """Relative duality gap of ``rows``; formula in ``sparsedef.backends.certificate``."""
        _certificate_kernel[self._grid(rows, self.n_atoms)](
            self.residual,
            self.dictionary,
            codes,
            self.alpha,
            self.atoms.ridge,
            self.parts,
            rows,
            len(rows),
            self.n_signals,
            self.n_features,
            self.n_atoms,
            IS_NONNEGATIVE=self.is_nonnegative,
            PRECISION=self.atoms.exact,
            **self.tile.launch,
        )
        tiny = torch.finfo(self.x.dtype).tiny
        parts, alpha = self.parts[:, :, rows], self.alpha[rows]
        peak, (slack, product, curvature) = parts[0].amax(dim=0), parts[1:].sum(dim=1)
        scale = (alpha / peak.clamp_min(tiny)).where(peak > alpha, 1)
        left = self.residual[rows].square().sum(dim=1) + curvature
        spread = (1 - scale).square() * left / 2
        energy = self.x[rows].square().sum(dim=1) / 2
        gap = (spread + slack + (1 - scale) * product).clamp_min(0)
        return (gap / energy.clamp_min(tiny)).where(energy > 0, 0)

    def _grid(self, rows: Tensor, n_columns: int) -> tuple[int]:
        return grid(self.tile, len(rows), n_columns)


def correlate(left: Tensor, dictionary: Tensor, tile: Tile, precision: str) -> Tensor:
    """Gives left @ dictionary.T, ``[rows of left, N]``, whatever torch may do with float32."""
    out = left.new_empty(len(left), len(dictionary))
    if len(left) == 0:
        return out
    rows = torch.arange(len(left), device=left.device)
    launch: Any = _correlation_kernel[grid(tile, len(left), len(dictionary))]
    launch(
        left,
        dictionary,
        out,
        rows,
        len(left),
        left.shape[1],
        len(dictionary),
        PRECISION=precision,
        **tile.launch,
    )
    return out
