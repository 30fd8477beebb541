"""The kernels of the proximal LASSO's direct form, and those that both forms need.

All state is stored by signal, ``[B, ...]``; ``rows_ptr`` lists the signals still at work, so those
that are done cost nothing and are not moved. Bytes and operations are per signal and launch, with
tiles of R signals by T atoms or features; what neighbouring programs share comes from L2.

Every value of one signal is summed in an order that depends on M, N and the tile only, never on
the other signals.

``PRECISION`` says how the products of float32 numbers are made: ``"ieee"``; ``"tf32x3"``, three
products on tensor cores that together keep float32's accuracy; ``"tf32"``, 10-bit mantissas.
"""

# Annotations are for Triton too: it must find its compile-time constants among them.
# mypy: disable-error-code="untyped-decorator, no-any-return, misc"

import triton
import triton.language as tl


@triton.jit
def _tile(
    rows_ptr: tl.tensor, n_rows: int, n_columns: int, ROWS: tl.constexpr, COLUMNS: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Gives this program's signals, which of them exist, its columns, likewise, and its tile."""
    n_column_tiles = tl.cdiv(n_columns, COLUMNS)
    program = tl.program_id(0).to(tl.int64)
    column_tile = program % n_column_tiles
    place = (program // n_column_tiles) * ROWS + tl.arange(0, ROWS)
    is_row = place < n_rows
    rows = tl.load(rows_ptr + place, mask=is_row, other=0).to(tl.int64)
    columns = column_tile * COLUMNS + tl.arange(0, COLUMNS)
    return rows, is_row, columns, columns < n_columns, column_tile


@triton.jit
def _product(
    left_ptr: tl.tensor,  # [B, size]
    right_ptr: tl.tensor,  # [columns, size]
    rows: tl.tensor,
    is_row: tl.tensor,
    columns: tl.tensor,
    is_column: tl.tensor,
    size: int,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
) -> tl.tensor:
    """One tile ``[ROWS, COLUMNS]`` of left @ right.T, both read along their rows."""
    total = tl.zeros((ROWS, COLUMNS), dtype=left_ptr.dtype.element_ty)
    for start in range(0, size, DEPTH):
        inner = start + tl.arange(0, DEPTH).to(tl.int64)
        is_inner = inner < size
        left = tl.load(
            left_ptr + rows[:, None] * size + inner[None, :],
            mask=is_row[:, None] & is_inner[None, :],
            other=0.0,
        )
        right = tl.load(
            right_ptr + columns[None, :] * size + inner[:, None],
            mask=is_inner[:, None] & is_column[None, :],
            other=0.0,
        )
        total = tl.dot(
            left, right, total, input_precision=PRECISION, out_dtype=left_ptr.dtype.element_ty
        )
    return total


@triton.jit
def _momentum(
    turn_ptr: tl.tensor,  # [tiles, B] parts of <y - z_k, z_k - z_{k-1}>
    pace_ptr: tl.tensor,  # [2, B]
    rows: tl.tensor,
    is_row: tl.tensor,
    n_tiles: int,
    n_signals: int,
    side: int,
) -> tuple[tl.tensor, tl.tensor]:
    """Adds the parts, starts momentum afresh where they are positive, and takes the next pace.

    Source: Beck, Teboulle, 2009 (FISTA); O'Donoghue, Candes, 2015 (adaptive restart).
    """
    turn = tl.load(turn_ptr + rows, mask=is_row, other=0.0)
    for tile in range(1, n_tiles):
        part = turn_ptr + tl.cast(tile, tl.int64) * n_signals + rows
        turn += tl.load(part, mask=is_row, other=0.0)
    pace = tl.load(pace_ptr + tl.cast(side, tl.int64) * n_signals + rows, mask=is_row, other=1.0)
    pace = tl.where(turn > 0, 1.0, pace)
    next_pace = (1.0 + tl.sqrt(1.0 + 4.0 * pace * pace)) * 0.5
    return tl.maximum(pace - 1.0, 0.0) / next_pace, next_pace


@triton.jit
def _soft_threshold(
    moved: tl.tensor, threshold: tl.tensor, IS_NONNEGATIVE: tl.constexpr
) -> tl.tensor:
    """Shrinks ``moved [ROWS, COLUMNS]`` by each row's ``threshold``."""
    if IS_NONNEGATIVE:
        after = moved - threshold[:, None]
        after = tl.where(after < 0, 0.0, after)
    else:
        size = tl.abs(moved) - threshold[:, None]
        after = tl.where(moved < 0, -size, size)
        after = tl.where(size < 0, 0.0, after)
    return after


@triton.jit(do_not_specialize=["n_rows", "n_signals", "n_tiles", "side"])
def _residual_kernel(
    x_ptr: tl.tensor,  # [B, M] signals
    dictionary_ptr: tl.tensor,  # [N, M]
    codes_ptr: tl.tensor,  # [B, N] current iterate z_k
    residual_ptr: tl.tensor,  # [B, M] in: x - z_{k-1} D, out: x - z_k D
    ahead_ptr: tl.tensor,  # [B, M] out: residual at the extrapolated point
    turn_ptr: tl.tensor,  # [tiles, B] parts of <y - z_k, z_k - z_{k-1}>
    pace_ptr: tl.tensor,  # [2, B] sequence 0, 1, 1.6, ..: row `side` is read, the other written
    momentum_ptr: tl.tensor,  # [B] out: momentum of the next step
    rows_ptr: tl.tensor,  # [n_rows] signals at work
    n_rows: int,
    n_signals: int,
    n_features: int,
    n_atoms: int,
    n_tiles: int,
    side: int,
    HAS_MOMENTUM: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
) -> None:
    """Computes r = x - z D and, with momentum, the residual at y = z + b (z - z_old).

    One program: ROWS signals x COLUMNS features, summing over all N atoms. The residual is linear
    in z, so r_y = r + b (r - r_old) needs no second product and no extrapolated codes. Before it,
    each program adds the parts that the shrink kernel left and decides, signal by signal, whether
    the momentum starts again (gradient scheme); the first program of a row of programs stores it.

    Per signal: 2 M N operations; reads 4 N M/COLUMNS bytes of codes (the first time from memory,
    then L2), 4 M N/ROWS of the dictionary, 8 M of x and r_old; writes 8 M.
    """
    rows, is_row, columns, is_column, column_tile = _tile(
        rows_ptr, n_rows, n_features, ROWS, COLUMNS
    )
    total = tl.zeros((ROWS, COLUMNS), dtype=x_ptr.dtype.element_ty)
    for start in range(0, n_atoms, DEPTH):
        atoms = start + tl.arange(0, DEPTH).to(tl.int64)
        is_atom = atoms < n_atoms
        codes = tl.load(
            codes_ptr + rows[:, None] * n_atoms + atoms[None, :],
            mask=is_row[:, None] & is_atom[None, :],
            other=0.0,
        )
        dictionary = tl.load(
            dictionary_ptr + atoms[:, None] * n_features + columns[None, :],
            mask=is_atom[:, None] & is_column[None, :],
            other=0.0,
        )
        total = tl.dot(
            codes, dictionary, total, input_precision=PRECISION, out_dtype=x_ptr.dtype.element_ty
        )

    spot = rows[:, None] * n_features + columns[None, :]
    is_spot = is_row[:, None] & is_column[None, :]
    residual = tl.load(x_ptr + spot, mask=is_spot, other=0.0) - total
    if HAS_MOMENTUM:
        momentum, next_pace = _momentum(turn_ptr, pace_ptr, rows, is_row, n_tiles, n_signals, side)
        old = tl.load(residual_ptr + spot, mask=is_spot, other=0.0)
        ahead = residual + momentum[:, None] * (residual - old)
        tl.store(ahead_ptr + spot, ahead, mask=is_spot)
        if column_tile == 0:
            next_pace_ptr = pace_ptr + tl.cast(1 - side, tl.int64) * n_signals
            tl.store(next_pace_ptr + rows, next_pace, mask=is_row)
            tl.store(momentum_ptr + rows, momentum, mask=is_row)
    tl.store(residual_ptr + spot, residual, mask=is_spot)


@triton.jit(do_not_specialize=["n_rows", "n_signals"])
def _shrink_kernel(
    residual_ptr: tl.tensor,  # [B, M] residual at the extrapolated point
    dictionary_ptr: tl.tensor,  # [N, M]
    codes_ptr: tl.tensor,  # [B, N] z_k
    other_ptr: tl.tensor,  # [B, N] in: z_{k-1}, out: z_{k+1}
    alpha_ptr: tl.tensor,  # [B]
    ridge_ptr: tl.tensor,  # [N]
    step_ptr: tl.tensor,  # [1]
    momentum_ptr: tl.tensor,  # [B]
    turn_ptr: tl.tensor,  # [tiles, B] out: parts of <y - z_{k+1}, z_{k+1} - z_k>
    rows_ptr: tl.tensor,  # [n_rows] signals at work
    n_rows: int,
    n_signals: int,
    n_features: int,
    n_atoms: int,
    HAS_MOMENTUM: tl.constexpr,
    IS_NONNEGATIVE: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
) -> None:
    """Takes one proximal step: z_{k+1} = shrink(y + step (D r_y - ridge y), step alpha).

    One program: ROWS signals x COLUMNS atoms, summing over all M features; the extrapolated y,
    the shrink and this tile's part of the restart test follow in registers, so correlations are
    never stored. z_{k+1} takes the place of z_{k-1}, which only this program reads.

    Per signal: 2 M N operations; reads 4 M N/COLUMNS bytes of residual (L2 after the first),
    4 M N/ROWS of the dictionary, 8 N of codes (4 N without momentum); writes 4 N.

    Source: Daubechies, Defrise, De Mol, 2004 (ISTA); Beck, Teboulle, 2009 (FISTA).
    """
    rows, is_row, atoms, is_atom, column_tile = _tile(rows_ptr, n_rows, n_atoms, ROWS, COLUMNS)
    correlations = _product(
        residual_ptr, dictionary_ptr, rows, is_row, atoms, is_atom, n_features,
        PRECISION, ROWS, COLUMNS, DEPTH,
    )  # fmt: skip
    spot = rows[:, None] * n_atoms + atoms[None, :]
    is_spot = is_row[:, None] & is_atom[None, :]
    step = tl.load(step_ptr)
    threshold = step * tl.load(alpha_ptr + rows, mask=is_row, other=0.0)
    ridge = tl.load(ridge_ptr + atoms, mask=is_atom, other=0.0)
    codes = tl.load(codes_ptr + spot, mask=is_spot, other=0.0)
    ahead = codes
    if HAS_MOMENTUM:
        momentum = tl.load(momentum_ptr + rows, mask=is_row, other=0.0)
        older = tl.load(other_ptr + spot, mask=is_spot, other=0.0)
        ahead = codes + momentum[:, None] * (codes - older)
    moved = ahead + step * (correlations - ridge[None, :] * ahead)
    after = _soft_threshold(moved, threshold, IS_NONNEGATIVE)
    tl.store(other_ptr + spot, after, mask=is_spot)
    if HAS_MOMENTUM:
        turn = tl.sum((ahead - after) * (after - codes), axis=1)
        tl.store(turn_ptr + column_tile * n_signals + rows, turn, mask=is_row)


@triton.jit(do_not_specialize=["n_rows", "n_signals"])
def _certificate_kernel(
    residual_ptr: tl.tensor,  # [B, M] x - z D
    dictionary_ptr: tl.tensor,  # [N, M]
    codes_ptr: tl.tensor,  # [B, N] z
    alpha_ptr: tl.tensor,  # [B]
    ridge_ptr: tl.tensor,  # [N]
    parts_ptr: tl.tensor,  # [4, tiles, B] out: each tile's peak, slack, product and curvature
    rows_ptr: tl.tensor,  # [n_rows] signals at work
    n_rows: int,
    n_signals: int,
    n_features: int,
    n_atoms: int,
    IS_NONNEGATIVE: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
) -> None:
    """Reduces c = D r - ridge z to what the duality gap needs.

    That is max |c|, sum(alpha |z| - z c), sum(z c) and sum(ridge z^2). One program: ROWS signals x
    COLUMNS atoms, summing over all M features; c stays in registers. The second and third sum are
    of terms of one sign at a solution, so small gaps do not cancel; see
    ``sparsedef.backends.certificate`` for the formula.

    Per signal: 2 M N operations; reads 4 M N/COLUMNS bytes of residual (L2 after the first),
    4 M N/ROWS of the dictionary, 4 N of codes; writes 16 N/COLUMNS.
    """
    rows, is_row, atoms, is_atom, column_tile = _tile(rows_ptr, n_rows, n_atoms, ROWS, COLUMNS)
    correlations = _product(
        residual_ptr, dictionary_ptr, rows, is_row, atoms, is_atom, n_features,
        PRECISION, ROWS, COLUMNS, DEPTH,
    )  # fmt: skip
    spot = rows[:, None] * n_atoms + atoms[None, :]
    codes = tl.load(codes_ptr + spot, mask=is_row[:, None] & is_atom[None, :], other=0.0)
    alpha = tl.load(alpha_ptr + rows, mask=is_row, other=0.0)
    pull = tl.load(ridge_ptr + atoms, mask=is_atom, other=0.0)[None, :] * codes
    slopes = correlations - pull
    # Masked atoms have slope 0, which changes no maximum: the smallest allowed peak is 0.
    sizes = slopes if IS_NONNEGATIVE else tl.abs(slopes)
    products = codes * slopes
    peak = tl.maximum(tl.max(sizes, axis=1), 0.0)
    slack = tl.sum(alpha[:, None] * tl.abs(codes) - products, axis=1)
    part = parts_ptr + column_tile * n_signals + rows
    plane = tl.cast(tl.cdiv(n_atoms, COLUMNS), tl.int64) * n_signals
    tl.store(part, peak, mask=is_row)
    tl.store(part + plane, slack, mask=is_row)
    tl.store(part + 2 * plane, tl.sum(products, axis=1), mask=is_row)
    tl.store(part + 3 * plane, tl.sum(pull * codes, axis=1), mask=is_row)
