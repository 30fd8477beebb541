"""The kernels of OMP that pass over all atoms: products with a fused search for the best atom.

All state is stored by signal, ``[B, ...]``; ``rows_ptr`` lists the signals that were at work when
the host looked last, ``phase_ptr`` says what each of them waits for now, so that signals stop one
by one and nobody waits for the host. No product is written out: each program leaves the best score
of its tile and the lowest atom that has it, and ``pursuit_kernels`` takes the best of the tiles.

Rule ``omp`` needs no state over the atoms at all: the correlations are made from the residual at
every step. Rule ``ols`` keeps two numbers per atom and updates them by the product with the newest
direction, which costs the same product and 16 N bytes more.

``PRECISION`` as in ``lasso_kernels``; bytes are for float32, per signal and launch, with tiles of
R signals by T atoms.

Source: Rubinstein, Zibulevsky, Elad, 2008 (batch OMP); Chen, Billings, Luo, 1989 (OLS rule).
"""

# mypy: disable-error-code="untyped-decorator, no-any-return, misc"

import triton
import triton.language as tl

from sparsedef.backends.triton.lasso_kernels import _product, _tile


@triton.jit
def _leave_best(
    score: tl.tensor,  # [ROWS, COLUMNS]
    best_ptr: tl.tensor,  # [B, tiles] out
    atom_ptr: tl.tensor,  # [B, tiles] out
    rows: tl.tensor,
    is_row: tl.tensor,
    atoms: tl.tensor,
    is_atom: tl.tensor,
    column_tile: tl.tensor,
    n_atoms: int,
    COLUMNS: tl.constexpr,
) -> None:
    """Stores each signal's best score in this tile and the lowest atom that has it."""
    score = tl.where(is_atom[None, :], score, -1.0)
    best = tl.max(score, axis=1)
    numbers = atoms.to(tl.int32)[None, :]
    first = tl.min(tl.where(score == best[:, None], numbers, n_atoms), axis=1)
    spot = rows * tl.cdiv(n_atoms, COLUMNS) + column_tile
    tl.store(best_ptr + spot, best, mask=is_row)
    tl.store(atom_ptr + spot, first, mask=is_row)


@triton.jit
def _score(
    correlations: tl.tensor,
    outside: tl.tensor,
    norm2: tl.tensor,
    IS_OLS: tl.constexpr,
    IS_NONNEGATIVE: tl.constexpr,
    DEPENDENT: tl.constexpr,
) -> tl.tensor:
    """Scores atoms: |c|, or c^2 / n2 where an atom is not dependent; 0 where z would be < 0."""
    if IS_NONNEGATIVE:
        correlations = tl.where(correlations > 0, correlations, 0.0)
    if IS_OLS:
        is_candidate = outside > DEPENDENT * norm2
        # The other branch of a choice is computed too: nothing must be divided by 0 there.
        below = tl.where(is_candidate, outside, 1.0)
        score = tl.where(is_candidate, correlations * correlations / below, 0.0)
    else:
        score = tl.abs(correlations)
    return score


@triton.jit(do_not_specialize=["n_rows"])
def _correlate_kernel(
    residual_ptr: tl.tensor,  # [B, M]
    dictionary_ptr: tl.tensor,  # [N, M]
    norm2_ptr: tl.tensor,  # [N] squared norms of the atoms
    correlations_ptr: tl.tensor,  # OLS: [B, N] out: with the residual
    outside_ptr: tl.tensor,  # OLS: [B, N] squared norms outside the support
    best_ptr: tl.tensor,  # [B, tiles] out
    atom_ptr: tl.tensor,  # [B, tiles] out
    phase_ptr: tl.tensor,  # [B]
    rows_ptr: tl.tensor,  # [n_rows]
    n_rows: int,
    n_features: int,
    n_atoms: int,
    PHASE: tl.constexpr,
    IS_OLS: tl.constexpr,
    IS_NONNEGATIVE: tl.constexpr,
    DEPENDENT: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
) -> None:
    """Scores all atoms from the residual, for the signals whose phase is PHASE.

    Rule ``omp``: every step. Rule ``ols``: the first step, and after atoms were dropped. One
    program: ROWS signals x COLUMNS atoms. Per signal: 2 M N operations; reads 4 M N/COLUMNS bytes
    of residual (L2 after the first), 4 M N/ROWS of the dictionary; writes 8 N/COLUMNS; ``ols``
    reads and writes 4 N more each.
    """
    rows, is_row, atoms, is_atom, column_tile = _tile(rows_ptr, n_rows, n_atoms, ROWS, COLUMNS)
    is_row = is_row & (tl.load(phase_ptr + rows, mask=is_row, other=0) == PHASE)
    if tl.max(is_row.to(tl.int32), axis=0) > 0:
        correlations = _product(
            residual_ptr, dictionary_ptr, rows, is_row, atoms, is_atom, n_features,
            PRECISION, ROWS, COLUMNS, DEPTH,
        )  # fmt: skip
        outside = correlations
        norm2 = correlations
        if IS_OLS:
            spot = rows[:, None] * n_atoms + atoms[None, :]
            is_spot = is_row[:, None] & is_atom[None, :]
            tl.store(correlations_ptr + spot, correlations, mask=is_spot)
            norm2 = tl.load(norm2_ptr + atoms, mask=is_atom, other=0.0)[None, :]
            outside = tl.load(outside_ptr + spot, mask=is_spot, other=0.0)
        score = _score(correlations, outside, norm2, IS_OLS, IS_NONNEGATIVE, DEPENDENT)
        _leave_best(
            score, best_ptr, atom_ptr, rows, is_row, atoms, is_atom, column_tile, n_atoms, COLUMNS
        )


@triton.jit(do_not_specialize=["n_rows", "n_nonzero"])
def _renew_kernel(
    directions_ptr: tl.tensor,  # [B, K, M] orthonormal basis of each support
    dictionary_ptr: tl.tensor,  # [N, M]
    norm2_ptr: tl.tensor,  # [N] squared norms of the atoms
    outside_ptr: tl.tensor,  # [B, N] out: squared norms outside the support
    n_chosen_ptr: tl.tensor,  # [B]
    phase_ptr: tl.tensor,  # [B]
    rows_ptr: tl.tensor,  # [n_rows]
    n_rows: int,
    n_features: int,
    n_atoms: int,
    n_nonzero: int,
    PHASE: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
) -> None:
    """Makes the squared norms outside the support anew, for the signals whose phase is PHASE.

    Rule ``ols``, after atoms were dropped: a product with each direction that is left. One program:
    ROWS signals x COLUMNS atoms. Per signal with k atoms: 2 k M N operations, reads
    4 k M (N/COLUMNS + N/ROWS) bytes, writes 4 N.
    """
    rows, is_row, atoms, is_atom, _ = _tile(rows_ptr, n_rows, n_atoms, ROWS, COLUMNS)
    is_row = is_row & (tl.load(phase_ptr + rows, mask=is_row, other=0) == PHASE)
    if tl.max(is_row.to(tl.int32), axis=0) > 0:
        n_chosen = tl.load(n_chosen_ptr + rows, mask=is_row, other=0)
        norm2 = tl.load(norm2_ptr + atoms, mask=is_atom, other=0.0)
        outside = tl.zeros((ROWS, COLUMNS), dtype=norm2.dtype) + norm2[None, :]
        for i in range(0, tl.max(n_chosen, axis=0)):
            q = _product(
                directions_ptr, dictionary_ptr, rows * n_nonzero + i, is_row & (i < n_chosen),
                atoms, is_atom, n_features, PRECISION, ROWS, COLUMNS, DEPTH,
            )  # fmt: skip
            outside -= q * q
        spot = rows[:, None] * n_atoms + atoms[None, :]
        tl.store(outside_ptr + spot, outside, mask=is_row[:, None] & is_atom[None, :])


@triton.jit(do_not_specialize=["n_rows", "n_nonzero"])
def _outside_kernel(
    directions_ptr: tl.tensor,  # [B, K, M] orthonormal basis of each support
    targets_ptr: tl.tensor,  # [B, K] products of the directions with the signal
    dictionary_ptr: tl.tensor,  # [N, M]
    norm2_ptr: tl.tensor,  # [N] squared norms of the atoms
    correlations_ptr: tl.tensor,  # [B, N] in and out: with the residual
    outside_ptr: tl.tensor,  # [B, N] in and out: squared norms outside the support
    best_ptr: tl.tensor,  # [B, tiles] out
    atom_ptr: tl.tensor,  # [B, tiles] out
    n_chosen_ptr: tl.tensor,  # [B]
    phase_ptr: tl.tensor,  # [B]
    rows_ptr: tl.tensor,  # [n_rows]
    n_rows: int,
    n_features: int,
    n_atoms: int,
    n_nonzero: int,
    PHASE: tl.constexpr,
    IS_NONNEGATIVE: tl.constexpr,
    DEPENDENT: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
) -> None:
    """Takes the newest direction u out of all atoms: q = D u, c -= (u . x) q, n2 -= q^2.

    Rule ``ols``, every step but the first, for the signals whose phase is PHASE. One program: ROWS
    signals x COLUMNS atoms; q stays in registers. Per signal: 2 M N operations; reads
    4 M N/COLUMNS bytes of direction (L2 after the first), 4 M N/ROWS of the dictionary, 8 N of
    state; writes 8 N + 8 N/COLUMNS.
    """
    rows, is_row, atoms, is_atom, column_tile = _tile(rows_ptr, n_rows, n_atoms, ROWS, COLUMNS)
    is_row = is_row & (tl.load(phase_ptr + rows, mask=is_row, other=0) == PHASE)
    if tl.max(is_row.to(tl.int32), axis=0) > 0:
        n_chosen = tl.load(n_chosen_ptr + rows, mask=is_row, other=1)
        newest = rows * n_nonzero + n_chosen - 1
        q = _product(
            directions_ptr, dictionary_ptr, newest, is_row, atoms, is_atom, n_features,
            PRECISION, ROWS, COLUMNS, DEPTH,
        )  # fmt: skip
        spot = rows[:, None] * n_atoms + atoms[None, :]
        is_spot = is_row[:, None] & is_atom[None, :]
        target = tl.load(targets_ptr + newest, mask=is_row, other=0.0)
        correlations = tl.load(correlations_ptr + spot, mask=is_spot, other=0.0)
        correlations -= target[:, None] * q
        tl.store(correlations_ptr + spot, correlations, mask=is_spot)
        outside = tl.load(outside_ptr + spot, mask=is_spot, other=0.0) - q * q
        tl.store(outside_ptr + spot, outside, mask=is_spot)
        norm2 = tl.load(norm2_ptr + atoms, mask=is_atom, other=0.0)[None, :]
        score = _score(correlations, outside, norm2, True, IS_NONNEGATIVE, DEPENDENT)
        _leave_best(
            score, best_ptr, atom_ptr, rows, is_row, atoms, is_atom, column_tile, n_atoms, COLUMNS
        )
