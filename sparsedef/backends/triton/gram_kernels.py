"""The kernels of the proximal LASSO's Gram form: one launch a step. See ``lasso_kernels``."""

# mypy: disable-error-code="untyped-decorator, no-any-return, misc"

import triton
import triton.language as tl

from sparsedef.backends.triton.lasso_kernels import _momentum, _product, _soft_threshold, _tile


@triton.jit(do_not_specialize=["n_rows"])
def _correlation_kernel(
    left_ptr: tl.tensor,  # [B, M]
    dictionary_ptr: tl.tensor,  # [N, M]
    out_ptr: tl.tensor,  # [B, N] out
    rows_ptr: tl.tensor,  # [n_rows] rows of left
    n_rows: int,
    n_features: int,
    n_atoms: int,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
) -> None:
    """Computes left @ dictionary.T: the correlations x D^T, and the Gram matrix D D^T.

    A kernel, because torch may be set to multiply float32 with 10-bit mantissas. One program: ROWS
    rows x COLUMNS atoms. Per row: 2 M N operations; reads 4 M N/COLUMNS + 4 M N/ROWS bytes (mostly
    from L2); writes 4 N.
    """
    rows, is_row, atoms, is_atom, _ = _tile(rows_ptr, n_rows, n_atoms, ROWS, COLUMNS)
    total = _product(
        left_ptr, dictionary_ptr, rows, is_row, atoms, is_atom, n_features,
        PRECISION, ROWS, COLUMNS, DEPTH,
    )  # fmt: skip
    spot = rows[:, None] * n_atoms + atoms[None, :]
    tl.store(out_ptr + spot, total, mask=is_row[:, None] & is_atom[None, :])


@triton.jit(do_not_specialize=["n_rows", "n_signals", "side"])
def _gram_step_kernel(
    target_ptr: tl.tensor,  # [B, N] x D^T
    gram_ptr: tl.tensor,  # [N, N] D D^T + diag(ridge), symmetric
    codes_ptr: tl.tensor,  # [B, N] z_k
    other_ptr: tl.tensor,  # [B, N] in: z_{k-1}, out: z_{k+1}
    product_ptr: tl.tensor,  # [B, N] in: z_{k-1} G, out: z_k G
    alpha_ptr: tl.tensor,  # [B]
    step_ptr: tl.tensor,  # [1]
    turn_ptr: tl.tensor,  # [2, tiles, B] parts of <y - z_k, z_k - z_{k-1}>: as with pace
    pace_ptr: tl.tensor,  # [2, B] sequence 0, 1, 1.6, ..: plane `side` is read, the other written
    rows_ptr: tl.tensor,  # [n_rows] signals at work
    n_rows: int,
    n_signals: int,
    n_atoms: int,
    side: int,
    HAS_MOMENTUM: tl.constexpr,
    IS_NONNEGATIVE: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
) -> None:
    """Takes one proximal step: z_{k+1} = shrink(y + step (x D^T - y G), step alpha).

    One program: ROWS signals x COLUMNS atoms, summing z_k G over all N atoms. The product is
    linear in z, so that of y = z_k + b (z_k - z_{k-1}) follows from it and from the last one; b
    needs the whole row of the last step, hence its parts are added here, one launch later, and lie
    in two planes. Each place of other and product is read and written by one program only.

    Per signal: 2 N^2 operations; reads 4 N N/COLUMNS bytes of codes (the first time from memory,
    then L2), 4 N N/ROWS of the Gram matrix, 16 N of target, codes and product (8 N without
    momentum); writes 8 N (4 N).

    Source: Daubechies, Defrise, De Mol, 2004 (ISTA); Beck, Teboulle, 2009 (FISTA); O'Donoghue,
    Candes, 2015 (adaptive restart).
    """
    rows, is_row, atoms, is_atom, column_tile = _tile(rows_ptr, n_rows, n_atoms, ROWS, COLUMNS)
    total = _product(
        codes_ptr, gram_ptr, rows, is_row, atoms, is_atom, n_atoms,
        PRECISION, ROWS, COLUMNS, DEPTH,
    )  # fmt: skip
    spot = rows[:, None] * n_atoms + atoms[None, :]
    is_spot = is_row[:, None] & is_atom[None, :]
    step = tl.load(step_ptr)
    threshold = step * tl.load(alpha_ptr + rows, mask=is_row, other=0.0)
    codes = tl.load(codes_ptr + spot, mask=is_spot, other=0.0)
    ahead = codes
    pull = total
    n_tiles = tl.cdiv(n_atoms, COLUMNS)
    plane = tl.cast(n_tiles, tl.int64) * n_signals
    if HAS_MOMENTUM:
        momentum, next_pace = _momentum(
            turn_ptr + side * plane, pace_ptr, rows, is_row, n_tiles, n_signals, side
        )
        if column_tile == 0:
            next_pace_ptr = pace_ptr + tl.cast(1 - side, tl.int64) * n_signals
            tl.store(next_pace_ptr + rows, next_pace, mask=is_row)
        old = tl.load(product_ptr + spot, mask=is_spot, other=0.0)
        tl.store(product_ptr + spot, total, mask=is_spot)
        pull = total + momentum[:, None] * (total - old)
        older = tl.load(other_ptr + spot, mask=is_spot, other=0.0)
        ahead = codes + momentum[:, None] * (codes - older)
    target = tl.load(target_ptr + spot, mask=is_spot, other=0.0)
    after = _soft_threshold(ahead + step * (target - pull), threshold, IS_NONNEGATIVE)
    tl.store(other_ptr + spot, after, mask=is_spot)
    if HAS_MOMENTUM:
        turn = tl.sum((ahead - after) * (after - codes), axis=1)
        part = turn_ptr + (1 - side) * plane + column_tile * n_signals
        tl.store(part + rows, turn, mask=is_row)
