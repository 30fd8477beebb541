"""Where atoms come from: data at first, and again when nothing uses them any more."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsedef.backends import BACKENDS, Problem, select_backend
from sparsedef.learning.ranks import Ranks
from sparsedef.ops.library import as_given
from sparsedef.solvers.checks import check_dictionary, check_tensor

SPARE = 2  # rows looked at for each atom wanted: some are zero


def to_norm_1(rows: Tensor) -> Tensor:
    """Scales rows, however small or large, to norm 1; zeros stay."""
    largest = rows.abs().amax(dim=1, keepdim=True)
    return normalize(rows / largest.where(largest > 0, 1), dim=1).contiguous()


def first_atoms(rows: Tensor, n_atoms: int, nonnegative: bool, seed: int) -> Tensor:
    """Makes ``[N, M]`` unit atoms of the first rows that are not zero; random ones where too few.

    Args:
        rows: Candidates in their order, ``[P, M]``.
        n_atoms: N.
        nonnegative: Take the nonnegative part of everything.
        seed: Of the random directions.
    """
    rows = rows.clamp_min(0) if nonnegative else rows
    rows = rows[rows.isfinite().all(dim=1) & (rows.norm(dim=1) > 0)][:n_atoms]
    draw = torch.Generator().manual_seed(seed)
    missing = n_atoms - len(rows)
    drawn = torch.randn(missing, rows.shape[1], generator=draw, dtype=torch.float64)
    drawn = (drawn.abs() if nonnegative else drawn).to(rows)
    return to_norm_1(torch.cat([rows, drawn]))


def check_init(who: str, init: object, n_atoms: int, x: Tensor, nonnegative: bool) -> Tensor:
    """Demands atoms ``[N, M]`` to start from, like ``x``; brings them to norm 1, but for zeros."""
    atoms = check_tensor(who, "init", init).detach()
    if atoms.shape != (n_atoms, x.shape[1]):
        raise ValueError(
            f"{who}: init must be [{n_atoms}, {x.shape[1]}] to match n_atoms and x"
            f" {list(x.shape)}, got {list(atoms.shape)}"
        )
    check_dictionary(who, atoms)
    if nonnegative and bool((atoms < 0).any()):
        raise ValueError(f"{who}: init must be >= 0 with nonnegative_atoms, got {atoms.min():.4g}")
    return to_norm_1(atoms.to(x))


def replace(
    atoms: Tensor, is_dead: Tensor, x: Tensor, residual: Tensor, nonnegative: bool, ranks: Ranks
) -> tuple[Tensor, Tensor]:
    """Puts the worst coded signals of all ranks in the place of dead atoms.

    Args:
        atoms: ``[N, M]``.
        is_dead: ``[N]``, the same on all ranks.
        x: The rank's signals, ``[B, M]``.
        residual: What is left of them, ``[B, M]``.
        nonnegative: Take the signals' nonnegative parts.
        ranks: All of them call this.

    Returns:
        The atoms, and which were replaced ``[N]``: where signals are too few, or coded without any
        residual, atoms stay dead.
    """
    n_dead = int(is_dead.sum())
    candidates = x.clamp_min(0) if nonnegative else x
    badness = residual.norm(dim=1).where(candidates.any(dim=1), 0)
    worst = badness.argsort(descending=True, stable=True)[:n_dead]
    badness, candidates = ranks.gather(badness[worst]), ranks.gather(candidates[worst])
    worst = badness.argsort(descending=True, stable=True)[:n_dead]
    worst = worst[badness[worst] > 0]
    replaced = is_dead.nonzero()[: len(worst), 0]
    atoms = atoms.index_copy(0, replaced, to_norm_1(candidates[worst]))
    return atoms, torch.zeros_like(is_dead).index_fill(0, replaced, True)


def code_statistics(
    x: Tensor, indices: Tensor, values: Tensor, n_atoms: int, backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Gives Z^T Z ``[N, N]``, Z^T X ``[N, M]`` and each atom's uses ``[N]``, of compact codes."""
    function = _serving("code_statistics", x, n_atoms, backend)
    with as_given(x.device):
        return function(x, indices, values, n_atoms)


def update_atoms(
    atoms: Tensor, gram: Tensor, cross: Tensor, nonnegative: bool, unit: bool, backend: str
) -> Tensor:
    """Moves each atom in turn to its best place; the reference's ``update_atoms`` says how."""
    function = _serving("update_atoms", cross, len(atoms), backend)
    with as_given(cross.device):
        return function(atoms, gram, cross, nonnegative, unit, 1)


def _serving(op: str, x: Tensor, n_atoms: int, backend: str) -> Any:
    """The function of the backend asked for, or of the first that can where that one has none."""
    problem = Problem(op, len(x), x.shape[1], n_atoms, x.dtype, x.device)
    is_there = backend in BACKENDS and op in BACKENDS[backend].functions
    return BACKENDS[select_backend(problem, backend if is_there else "auto")].functions[op]
