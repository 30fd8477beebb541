"""The kernel of OMP that takes a signal's best atom in.

One program per signal; what its threads hand each other through memory is fenced by barriers.
Each support has an orthonormal basis U ``[K, M]`` in feature space and a lower triangular factor L
``[K, K]`` with D_S = L U, so z solves L^T z = t with t = U x (``support_kernels``). Phases of a
signal: ``DONE``; ``STEP``: its scores follow from the newest direction; ``RESTART``: from its
residual and all directions.

Source: Daniel, Gragg, Kaufman, Stewart, 1976 (a second turn of Gram-Schmidt where the first took
most of an atom away).
"""

# mypy: disable-error-code="untyped-decorator, no-any-return, misc"

import triton
import triton.language as tl

DONE, STEP, RESTART = 0, 1, 2
_DONE, _STEP, _RESTART = tl.constexpr(DONE), tl.constexpr(STEP), tl.constexpr(RESTART)
_CONVERGED, _MAX_ITER, _EXHAUSTED = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)  # Status
_NO_ATOM = tl.constexpr(2**31 - 1)
_TILES = tl.constexpr(128)  # scores looked at together


@triton.jit
def _dot(a_ptr: tl.tensor, b_ptr: tl.tensor, size: int, FEATURES: tl.constexpr) -> tl.tensor:
    total = tl.zeros((FEATURES,), dtype=a_ptr.dtype.element_ty)
    for start in range(0, size, FEATURES):
        each = start + tl.arange(0, FEATURES)
        a = tl.load(a_ptr + each, mask=each < size, other=0.0)
        total += a * tl.load(b_ptr + each, mask=each < size, other=0.0)
    return tl.sum(total, axis=0)


@triton.jit
def _best_atom(best_ptr: tl.tensor, atom_ptr: tl.tensor, n_tiles: int) -> tuple[tl.tensor, ...]:
    """Gives the best score of all tiles ``[tiles]`` and the lowest atom that has it."""
    best = tl.load(best_ptr)
    atom = tl.load(atom_ptr)
    for start in range(0, n_tiles, _TILES):
        place = start + tl.arange(0, _TILES)
        scores = tl.load(best_ptr + place, mask=place < n_tiles, other=-1.0)
        atoms = tl.load(atom_ptr + place, mask=place < n_tiles, other=0)
        top = tl.max(scores, axis=0)
        first = tl.min(tl.where(scores == top, atoms, _NO_ATOM), axis=0)
        atom = tl.where(top > best, first, atom)
        best = tl.maximum(best, top)
    return best, atom


@triton.jit
def _take_span_out(
    direction_ptr: tl.tensor,  # [M] in and out
    basis_ptr: tl.tensor,  # [K, M]
    row_ptr: tl.tensor,  # [K] out: what was taken out, added to what is there unless IS_FIRST
    n_chosen: tl.tensor,
    n_features: int,
    IS_FIRST: tl.constexpr,
    GROUP: tl.constexpr,
    FEATURES: tl.constexpr,
) -> None:
    """One turn of Gram-Schmidt, GROUP directions at a time."""
    for start in range(0, n_chosen, GROUP):
        places = start + tl.arange(0, GROUP)
        is_place = places < n_chosen
        group_ptr = basis_ptr + places[:, None].to(tl.int64) * n_features
        share = tl.zeros((GROUP,), dtype=direction_ptr.dtype.element_ty)
        for first in range(0, n_features, FEATURES):
            each = first + tl.arange(0, FEATURES)
            is_each = each < n_features
            left = tl.load(direction_ptr + each, mask=is_each, other=0.0)
            is_spot = is_place[:, None] & is_each[None, :]
            u = tl.load(group_ptr + each[None, :], mask=is_spot, other=0.0)
            share += tl.sum(u * left[None, :], axis=1)
        tl.debug_barrier()
        for first in range(0, n_features, FEATURES):
            each = first + tl.arange(0, FEATURES)
            is_each = each < n_features
            is_spot = is_place[:, None] & is_each[None, :]
            u = tl.load(group_ptr + each[None, :], mask=is_spot, other=0.0)
            left = tl.load(direction_ptr + each, mask=is_each, other=0.0)
            left -= tl.sum(u * share[:, None], axis=0)
            tl.store(direction_ptr + each, left, mask=is_each)
        if not IS_FIRST:
            share += tl.load(row_ptr + places, mask=is_place, other=0.0)
        tl.store(row_ptr + places, share, mask=is_place)
        tl.debug_barrier()


@triton.jit(do_not_specialize=["n_nonzero", "n_tiles"])
def _pick_kernel(
    dictionary_ptr: tl.tensor,  # [N, M]
    norm2_ptr: tl.tensor,  # [N] squared norms of the atoms
    residual_ptr: tl.tensor,  # [B, M] in and out
    directions_ptr: tl.tensor,  # [B, K, M] in and out
    factor_ptr: tl.tensor,  # [B, K, K] in and out
    targets_ptr: tl.tensor,  # [B, K] out
    best_ptr: tl.tensor,  # [B, tiles] best scores of the tiles
    atom_ptr: tl.tensor,  # [B, tiles] the atoms that have them
    energy_ptr: tl.tensor,  # [B] squared residuals, in and out
    tol_ptr: tl.tensor,  # [B] on the squared residual, 0 for none
    floor_ptr: tl.tensor,  # [B] score at rounding level
    limit_ptr: tl.tensor,  # [B] most atoms
    most_ptr: tl.tensor,  # [B] most entries of atoms
    indices_ptr: tl.tensor,  # [B, K] out
    n_chosen_ptr: tl.tensor,  # [B] in and out
    n_entries_ptr: tl.tensor,  # [B] in and out: atoms that ever entered
    status_ptr: tl.tensor,  # [B] out
    phase_ptr: tl.tensor,  # [B] in and out
    rows_ptr: tl.tensor,  # [programs]
    n_features: int,
    n_tiles: int,
    n_nonzero: int,
    HAS_DROPS: tl.constexpr,
    DEPENDENT: tl.constexpr,
    GROUP: tl.constexpr,
    FEATURES: tl.constexpr,
) -> None:
    """Stops a signal, or takes its best atom in: a direction, a row of the factor, the residual.

    With HAS_DROPS ``support_kernels._settle_kernel`` must follow, which may take atoms out again.

    Per signal, with k atoms chosen: 4 k M operations (8 k M where an atom is nearly dependent),
    reads 8 N/T bytes of scores, 4 k M of directions (again from L1), 4 M of the atom and 8 M of
    residual; writes 8 M.
    """
    b = tl.load(rows_ptr + tl.program_id(0))
    if tl.load(phase_ptr + b) != _DONE:
        best, atom = _best_atom(best_ptr + b * n_tiles, atom_ptr + b * n_tiles, n_tiles)
        n_chosen = tl.load(n_chosen_ptr + b)
        n_entries = tl.load(n_entries_ptr + b)
        limit = tl.load(limit_ptr + b)
        energy = tl.load(energy_ptr + b)
        tol = tl.load(tol_ptr + b)
        floor = tl.load(floor_ptr + b)
        is_done = (best <= floor) | ((tol > 0) & (energy <= tol)) | (n_chosen >= limit)
        status = tl.where(is_done, _CONVERGED, _MAX_ITER)
        phase = _DONE + n_chosen * 0
        tl.debug_barrier()  # all threads have read what is stored below
        if (is_done == 0) & (n_entries < tl.load(most_ptr + b)):
            basis = directions_ptr + b * n_nonzero * n_features
            direction = basis + n_chosen.to(tl.int64) * n_features
            row = factor_ptr + (b * n_nonzero + n_chosen) * n_nonzero
            source = dictionary_ptr + atom.to(tl.int64) * n_features
            for first in range(0, n_features, FEATURES):
                each = first + tl.arange(0, FEATURES)
                d = tl.load(source + each, mask=each < n_features, other=0.0)
                tl.store(direction + each, d, mask=each < n_features)
            tl.debug_barrier()
            norm2 = tl.load(norm2_ptr + atom)
            _take_span_out(direction, basis, row, n_chosen, n_features, True, GROUP, FEATURES)
            left = _dot(direction, direction, n_features, FEATURES)
            if 2 * left < norm2:
                _take_span_out(direction, basis, row, n_chosen, n_features, False, GROUP, FEATURES)
                left = _dot(direction, direction, n_features, FEATURES)
            status = tl.where(left > DEPENDENT * norm2, _CONVERGED, _EXHAUSTED)
            if left > DEPENDENT * norm2:
                residual = residual_ptr + b * n_features
                scale = 1 / tl.sqrt(left)
                target = scale * _dot(direction, residual, n_features, FEATURES)
                total = tl.zeros((FEATURES,), dtype=residual_ptr.dtype.element_ty)
                tl.debug_barrier()
                for first in range(0, n_features, FEATURES):
                    each = first + tl.arange(0, FEATURES)
                    u = scale * tl.load(direction + each, mask=each < n_features, other=0.0)
                    r = tl.load(residual + each, mask=each < n_features, other=0.0) - target * u
                    tl.store(direction + each, u, mask=each < n_features)
                    tl.store(residual + each, r, mask=each < n_features)
                    total += r * r
                tl.store(row + n_chosen, left * scale)
                tl.store(targets_ptr + b * n_nonzero + n_chosen, target)
                tl.store(indices_ptr + b * n_nonzero + n_chosen, atom.to(tl.int64))
                tl.store(energy_ptr + b, tl.sum(total, axis=0))
                tl.store(n_chosen_ptr + b, n_chosen + 1)
                tl.store(n_entries_ptr + b, n_entries + 1)
                phase = tl.where((n_chosen + 1 < limit) | HAS_DROPS, _STEP, _DONE)
        tl.store(status_ptr + b, status)
        tl.store(phase_ptr + b, phase)
