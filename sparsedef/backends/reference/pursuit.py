"""The state of orthogonal matching pursuits, many signals side by side."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Pursuit:
    """What is known of B signals and the K slots of their supports.

    The chosen atoms are orthonormalised as they come: u_j is the part of atom d_j outside the span
    of those before it, scaled to norm 1. All else follows from them:

    - correlations with the residual: c <- c - (u_j . x) D u_j,
    - squared norm of each atom outside the span: n2 <- n2 - (D u_j)^2,
    - the triangular factor of the support's Gram matrix: L[j, i] = u_i . d_j.

    There is one slot more than K: what belongs to no slot is written there, and nothing reads it,
    so that signals which are done need no branch. A slot without an atom has u = 0.

    Attributes:
        x: Signals, ``[B, M]``.
        dictionary: Atoms, ``[N, M]``.
        norms: Squared norms of the atoms, ``[N]``.
        correlations: Of the atoms with the residual, ``[B, N]``.
        outside: Squared norms of the atoms outside the span of the support, ``[B, N]``; ``None``
            when nobody asks.
        energy: Squared norm of the residual, ``[B]``.
        n_chosen: Atoms in the support, ``[B]``.
        indices: Which they are, in the order of entry, ``[B, K + 1]``, unused -1.
        basis: u, ``[B, K + 1, M]``.
        factor: L, ``[B, K + 1, K + 1]``, the identity in unused slots.
        targets: u . x, ``[B, K + 1]``, unused 0.
    """

    x: Tensor
    dictionary: Tensor
    norms: Tensor
    correlations: Tensor
    outside: Tensor | None
    energy: Tensor
    n_chosen: Tensor
    indices: Tensor
    basis: Tensor
    factor: Tensor
    targets: Tensor

    @classmethod
    def start(cls, x: Tensor, dictionary: Tensor, n_nonzero: int, has_outside: bool) -> Pursuit:
        """Begins with empty supports."""
        n_signals, n_features = x.shape
        norms = torch.einsum("nm,nm->n", dictionary, dictionary)
        slots = n_nonzero + 1
        return cls(
            x,
            dictionary,
            norms,
            x @ dictionary.T,
            norms.repeat(n_signals, 1) if has_outside else None,
            x.square().sum(dim=1),
            torch.zeros(n_signals, dtype=torch.int64, device=x.device),
            torch.full((n_signals, slots), -1, device=x.device),
            x.new_zeros(n_signals, slots, n_features),
            torch.eye(slots, dtype=x.dtype, device=x.device).repeat(n_signals, 1, 1),
            x.new_zeros(n_signals, slots),
        )

    def add(self, atom: Tensor, is_open: Tensor, dependent: float, n_used: int) -> Tensor:
        """Puts one atom ``[B]`` into the support of each open signal, unless it depends on it.

        Args:
            atom: ``[B]``; what stands at signals that are not open does not matter.
            is_open: ``[B]``.
            dependent: An atom with at most this share of its energy outside is dependent.
            n_used: No support holds more atoms than this.

        Returns:
            Which open signals got their atom, ``[B]``.
        """
        each = torch.arange(len(atom), device=atom.device)
        before = self.basis[:, :n_used]
        rest = self.dictionary[atom]
        row = torch.zeros_like(before[:, :, 0])
        for _ in range(2):  # once leaves what rounding put into the span; twice is enough
            inside = torch.einsum("bkm,bm->bk", before, rest)
            rest = rest - torch.einsum("bk,bkm->bm", inside, before)
            row = row + inside
        left = rest.square().sum(dim=1)
        is_open = is_open & (left > dependent * self.norms[atom])

        size = left.where(is_open, 1).sqrt()
        direction = (rest / size[:, None]).where(is_open[:, None], 0)
        target = (self.correlations[each, atom] / size).where(is_open, 0)
        projection = direction @ self.dictionary.T
        self.correlations -= target[:, None] * projection
        if self.outside is not None:
            self.outside -= projection.square_()
        self.energy -= target.square()

        slot = self.n_chosen.where(is_open, self.indices.shape[1] - 1)
        self.indices[each, slot] = atom
        self.basis[each, slot] = direction
        self.factor[each, slot, :n_used] = row
        self.factor[each, slot, slot] = size
        self.targets[each, slot] = target
        self.n_chosen += is_open
        return is_open

    def atoms(self) -> Tensor:
        """Lays the supports' atoms side by side, ``[B, K, M]``, 0 in unused slots."""
        return lay_out(self.dictionary, self.indices[:, :-1])

    def codes(self, atoms: Tensor) -> Tensor:
        """Gives the least squares codes of the supports, ``[B, K]``, unused 0."""
        return least_squares(self.x, atoms, self.factor[:, :-1, :-1], self.targets[:, :-1])

    def replace(self, rows: Tensor, indices: Tensor) -> None:
        """Gives the signals ``rows`` ``[R]`` new supports ``[R, K]``, atoms first, then -1."""
        basis, factor = orthonormalise(lay_out(self.dictionary, indices), indices)
        targets = torch.einsum("bkm,bm->bk", basis, self.x[rows])
        residual = self.x[rows] - torch.einsum("bk,bkm->bm", targets, basis)
        self.correlations[rows] = residual @ self.dictionary.T
        if self.outside is not None:
            outside = self.norms.repeat(len(rows), 1)
            for direction in basis.unbind(dim=1):
                outside -= (direction @ self.dictionary.T).square_()
            self.outside[rows] = outside
        self.energy[rows] = residual.square().sum(dim=1)
        self.n_chosen[rows] = (indices >= 0).sum(dim=1)
        self.indices[rows, :-1] = indices
        self.basis[rows, :-1] = basis
        self.factor[rows, :-1, :-1] = factor
        self.targets[rows, :-1] = targets


def lay_out(dictionary: Tensor, indices: Tensor) -> Tensor:
    """Gathers the atoms ``[B, K, M]`` that ``indices`` ``[B, K]`` name, 0 where they are -1."""
    return dictionary[indices.clamp_min(0)].mul_((indices >= 0)[:, :, None])


def orthonormalise(atoms: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormalises independent atoms ``[B, K, M]`` in their order, the unused ones last.

    Returns:
        basis ``[B, K, M]``, 0 in unused slots, and the factor ``[B, K, K]``, the identity there.
    """
    basis, triangle = torch.linalg.qr(atoms.mT)
    sign = triangle.diagonal(dim1=1, dim2=2).sign() * (indices >= 0)
    factor = (triangle * sign[:, :, None]).mT + torch.diag_embed((indices < 0).to(sign.dtype))
    return basis.mT * sign[:, :, None], factor


def least_squares(x: Tensor, atoms: Tensor, factor: Tensor, targets: Tensor) -> Tensor:
    """Gives the codes ``[B, K]`` of ``atoms``, and takes from them what rounding left on these."""
    codes = torch.linalg.solve_triangular(factor.mT, targets[:, :, None], upper=True)
    left = atoms @ (x[:, :, None] - atoms.mT @ codes)
    return (codes + torch.cholesky_solve(left, factor))[:, :, 0]
