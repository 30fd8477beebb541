"""The three kernels of the proximal LASSO: residual, shrink, certificate.

All state is stored by signal, ``[B, ...]``; ``rows_ptr`` lists the signals still at work, so those
that are done cost nothing and are not moved. Bytes and operations are per signal and launch, with
tiles of R signals by T atoms or features; what neighbouring programs share comes from L2.

Every value of one signal is summed in an order that depends on M, N and the tile only, never on
the other signals.
"""

# Annotations are for Triton too: it must find its compile-time constants among them.
# mypy: disable-error-code="untyped-decorator, no-any-return, misc"

import triton
import triton.language as tl


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

    Source: Beck, Teboulle, 2009 (FISTA); O'Donoghue, Candes, 2015 (adaptive restart).
    """
    n_column_tiles = tl.cdiv(n_features, COLUMNS)
    program = tl.program_id(0).to(tl.int64)
    column_tile = program % n_column_tiles
    place = (program // n_column_tiles) * ROWS + tl.arange(0, ROWS)
    is_row = place < n_rows
    rows = tl.load(rows_ptr + place, mask=is_row, other=0).to(tl.int64)
    columns = column_tile * COLUMNS + tl.arange(0, COLUMNS)
    is_column = columns < n_features

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
            codes, dictionary, total, input_precision="ieee", out_dtype=x_ptr.dtype.element_ty
        )

    spot = rows[:, None] * n_features + columns[None, :]
    is_spot = is_row[:, None] & is_column[None, :]
    residual = tl.load(x_ptr + spot, mask=is_spot, other=0.0) - total
    if HAS_MOMENTUM:
        turn = tl.zeros((ROWS,), dtype=x_ptr.dtype.element_ty)
        for tile in range(0, n_tiles):
            part = turn_ptr + tl.cast(tile, tl.int64) * n_signals + rows
            turn += tl.load(part, mask=is_row, other=0.0)
        pace = tl.load(pace_ptr + side * n_signals + rows, mask=is_row, other=1.0)
        pace = tl.where(turn > 0, 1.0, pace)
        next_pace = (1.0 + tl.sqrt(1.0 + 4.0 * pace * pace)) * 0.5
        momentum = tl.maximum(pace - 1.0, 0.0) / next_pace
        old = tl.load(residual_ptr + spot, mask=is_spot, other=0.0)
        ahead = residual + momentum[:, None] * (residual - old)
        tl.store(ahead_ptr + spot, ahead, mask=is_spot)
        if column_tile == 0:
            tl.store(pace_ptr + (1 - side) * n_signals + rows, next_pace, mask=is_row)
            tl.store(momentum_ptr + rows, momentum, mask=is_row)
    tl.store(residual_ptr + spot, residual, mask=is_spot)


@triton.jit
def _correlations(
    residual_ptr: tl.tensor,
    dictionary_ptr: tl.tensor,
    rows: tl.tensor,
    is_row: tl.tensor,
    atoms: tl.tensor,
    is_atom: tl.tensor,
    n_features: int,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
) -> tl.tensor:
    """One tile ``[ROWS, COLUMNS]`` of residual @ dictionary.T, summed over all M features."""
    total = tl.zeros((ROWS, COLUMNS), dtype=residual_ptr.dtype.element_ty)
    for start in range(0, n_features, DEPTH):
        features = start + tl.arange(0, DEPTH).to(tl.int64)
        is_feature = features < n_features
        residual = tl.load(
            residual_ptr + rows[:, None] * n_features + features[None, :],
            mask=is_row[:, None] & is_feature[None, :],
            other=0.0,
        )
        dictionary = tl.load(
            dictionary_ptr + atoms[None, :] * n_features + features[:, None],
            mask=is_feature[:, None] & is_atom[None, :],
            other=0.0,
        )
        total = tl.dot(
            residual,
            dictionary,
            total,
            input_precision="ieee",
            out_dtype=residual_ptr.dtype.element_ty,
        )
    return total


@triton.jit(do_not_specialize=["n_rows", "n_signals"])
def _shrink_kernel(
    residual_ptr: tl.tensor,  # [B, M] residual at the extrapolated point
    dictionary_ptr: tl.tensor,  # [N, M]
    codes_ptr: tl.tensor,  # [B, N] z_k
    other_ptr: tl.tensor,  # [B, N] in: z_{k-1}, out: z_{k+1}
    alpha_ptr: tl.tensor,  # [B]
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
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
) -> None:
    """Takes one proximal step: z_{k+1} = shrink(y + step D r_y, step alpha).

    One program: ROWS signals x COLUMNS atoms, summing over all M features; the extrapolated y,
    the shrink and this tile's part of the restart test follow in registers, so correlations are
    never stored. z_{k+1} takes the place of z_{k-1}, which only this program reads.

    Per signal: 2 M N operations; reads 4 M N/COLUMNS bytes of residual (L2 after the first),
    4 M N/ROWS of the dictionary, 8 N of codes (4 N without momentum); writes 4 N.

    Source: Daubechies, Defrise, De Mol, 2004 (ISTA); Beck, Teboulle, 2009 (FISTA).
    """
    n_column_tiles = tl.cdiv(n_atoms, COLUMNS)
    program = tl.program_id(0).to(tl.int64)
    column_tile = program % n_column_tiles
    place = (program // n_column_tiles) * ROWS + tl.arange(0, ROWS)
    is_row = place < n_rows
    rows = tl.load(rows_ptr + place, mask=is_row, other=0).to(tl.int64)
    atoms = column_tile * COLUMNS + tl.arange(0, COLUMNS)
    is_atom = atoms < n_atoms

    correlations = _correlations(
        residual_ptr, dictionary_ptr, rows, is_row, atoms, is_atom, n_features, ROWS, COLUMNS, DEPTH
    )
    spot = rows[:, None] * n_atoms + atoms[None, :]
    is_spot = is_row[:, None] & is_atom[None, :]
    step = tl.load(step_ptr)
    threshold = step * tl.load(alpha_ptr + rows, mask=is_row, other=0.0)
    codes = tl.load(codes_ptr + spot, mask=is_spot, other=0.0)
    ahead = codes
    if HAS_MOMENTUM:
        momentum = tl.load(momentum_ptr + rows, mask=is_row, other=0.0)
        older = tl.load(other_ptr + spot, mask=is_spot, other=0.0)
        ahead = codes + momentum[:, None] * (codes - older)
    moved = ahead + step * correlations
    if IS_NONNEGATIVE:
        after = moved - threshold[:, None]
        after = tl.where(after < 0, 0.0, after)
    else:
        size = tl.abs(moved) - threshold[:, None]
        after = tl.where(moved < 0, -size, size)
        after = tl.where(size < 0, 0.0, after)
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
    parts_ptr: tl.tensor,  # [3, tiles, B] out: peak, slack and product of each tile of atoms
    rows_ptr: tl.tensor,  # [n_rows] signals at work
    n_rows: int,
    n_signals: int,
    n_features: int,
    n_atoms: int,
    IS_NONNEGATIVE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
) -> None:
    """Reduces c = D r to what the duality gap needs: max |c|, sum(alpha |z| - z c), sum(z c).

    One program: ROWS signals x COLUMNS atoms, summing over all M features; c stays in registers.
    The two sums are of terms of one sign at a solution, so small gaps do not cancel; see
    ``sparsedef.backends.certificate`` for the formula.

    Per signal: 2 M N operations; reads 4 M N/COLUMNS bytes of residual (L2 after the first),
    4 M N/ROWS of the dictionary, 4 N of codes; writes 12 N/COLUMNS.
    """
    n_column_tiles = tl.cdiv(n_atoms, COLUMNS)
    program = tl.program_id(0).to(tl.int64)
    column_tile = program % n_column_tiles
    place = (program // n_column_tiles) * ROWS + tl.arange(0, ROWS)
    is_row = place < n_rows
    rows = tl.load(rows_ptr + place, mask=is_row, other=0).to(tl.int64)
    atoms = column_tile * COLUMNS + tl.arange(0, COLUMNS)
    is_atom = atoms < n_atoms

    correlations = _correlations(
        residual_ptr, dictionary_ptr, rows, is_row, atoms, is_atom, n_features, ROWS, COLUMNS, DEPTH
    )
    spot = rows[:, None] * n_atoms + atoms[None, :]
    codes = tl.load(codes_ptr + spot, mask=is_row[:, None] & is_atom[None, :], other=0.0)
    alpha = tl.load(alpha_ptr + rows, mask=is_row, other=0.0)
    # Masked atoms have correlation 0, which changes no maximum: the smallest allowed peak is 0.
    sizes = correlations if IS_NONNEGATIVE else tl.abs(correlations)
    products = codes * correlations
    peak = tl.maximum(tl.max(sizes, axis=1), 0.0)
    slack = tl.sum(alpha[:, None] * tl.abs(codes) - products, axis=1)
    part = parts_ptr + column_tile * n_signals + rows
    plane = tl.cast(n_column_tiles, tl.int64) * n_signals
    tl.store(part, peak, mask=is_row)
    tl.store(part + plane, slack, mask=is_row)
    tl.store(part + 2 * plane, tl.sum(products, axis=1), mask=is_row)
