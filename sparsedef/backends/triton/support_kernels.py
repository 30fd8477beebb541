"""The kernels of OMP that work on one signal's support: its codes, atoms taken out, the residual.

One program per signal; basis, factor and phases as in ``pursuit_kernels``.

Source: Lawson, Hanson, 1974, chapter 23 (nonnegative codes) and 24 (dropping a row by rotations);
Nguyen, Soussen, Idier, Djermoune, 2019 (nonnegative pursuits).
"""

# mypy: disable-error-code="untyped-decorator, no-any-return, misc"

import triton
import triton.language as tl

from sparsedef.backends.triton.pursuit_kernels import _DONE, _RESTART, _STEP, _dot


@triton.jit
def _back_substitute(
    factor_ptr: tl.tensor,  # [K, K]
    right: tl.tensor,  # [PLACES]
    n_chosen: tl.tensor,
    n_nonzero: int,
    PLACES: tl.constexpr,
) -> tl.tensor:
    """Solves L^T z = right for the first ``n_chosen`` places; the others are 0."""
    places = tl.arange(0, PLACES)
    z = tl.zeros_like(right)
    for turn in range(0, n_chosen):
        i = n_chosen - 1 - turn
        is_below = (places > i) & (places < n_chosen)
        column = tl.load(factor_ptr + places * n_nonzero + i, mask=is_below, other=0.0)
        left = tl.sum(tl.where(places == i, right, -column * z), axis=0)
        z = tl.where(places == i, left / tl.load(factor_ptr + i * n_nonzero + i), z)
    return z


@triton.jit
def _drop(
    place: tl.tensor,
    n_chosen: tl.tensor,
    residual: tl.tensor,  # [M] in and out
    basis: tl.tensor,  # [K, M] in and out
    factor: tl.tensor,  # [K, K] in and out
    targets: tl.tensor,  # [K] in and out
    indices: tl.tensor,  # [K] in and out
    n_features: int,
    n_nonzero: int,
    PLACES: tl.constexpr,
    FEATURES: tl.constexpr,
) -> tl.tensor:
    """Takes the atom at ``place`` out of D_S = L U; returns the squared residual.

    Row ``place`` of L goes; rotations of neighbouring columns make the rest triangular again, and
    turn the same rows of U and t. The last direction is then outside the span.
    """
    places = tl.arange(0, PLACES)
    last = n_chosen - 1
    is_kept = places < last
    moved = tl.load(indices + places + (places >= place).to(tl.int32), mask=is_kept, other=-1)
    tl.debug_barrier()
    tl.store(indices + places, moved, mask=places < n_chosen)
    for i in range(place, last):
        below = tl.load(factor + (i + 1) * n_nonzero + places, mask=places <= i + 1, other=0.0)
        tl.debug_barrier()
        tl.store(factor + i * n_nonzero + places, below, mask=places <= i + 1)
    tl.debug_barrier()
    for i in range(place, last):
        a = tl.load(factor + i * n_nonzero + i)
        b = tl.load(factor + i * n_nonzero + i + 1)
        scale = 1 / tl.sqrt(a * a + b * b)
        cosine = a * scale
        sine = b * scale
        is_turned = is_kept & (places >= i)
        column = factor + places * n_nonzero + i
        left = tl.load(column, mask=is_turned, other=0.0)
        right = tl.load(column + 1, mask=is_turned, other=0.0)
        t = tl.load(targets + i)
        t_next = tl.load(targets + i + 1)
        tl.debug_barrier()
        tl.store(column, cosine * left + sine * right, mask=is_turned)
        tl.store(column + 1, cosine * right - sine * left, mask=is_turned & (places > i))
        tl.store(targets + i, cosine * t + sine * t_next)
        tl.store(targets + i + 1, cosine * t_next - sine * t)
        for first in range(0, n_features, FEATURES):
            each = first + tl.arange(0, FEATURES)
            row = basis + tl.cast(i, tl.int64) * n_features + each
            u = tl.load(row, mask=each < n_features, other=0.0)
            u_next = tl.load(row + n_features, mask=each < n_features, other=0.0)
            tl.store(row, cosine * u + sine * u_next, mask=each < n_features)
            tl.store(row + n_features, cosine * u_next - sine * u, mask=each < n_features)
        tl.debug_barrier()
    target = tl.load(targets + last)
    total = tl.zeros((FEATURES,), dtype=residual.dtype.element_ty)
    for first in range(0, n_features, FEATURES):
        each = first + tl.arange(0, FEATURES)
        outside = basis + last.to(tl.int64) * n_features + each
        u = tl.load(outside, mask=each < n_features, other=0.0)
        r = tl.load(residual + each, mask=each < n_features, other=0.0) + target * u
        tl.store(residual + each, r, mask=each < n_features)
        total += r * r
    tl.debug_barrier()
    return tl.sum(total, axis=0)


@triton.jit(do_not_specialize=["n_nonzero"])
def _settle_kernel(
    residual_ptr: tl.tensor,  # [B, M] in and out
    directions_ptr: tl.tensor,  # [B, K, M] in and out
    factor_ptr: tl.tensor,  # [B, K, K] in and out
    targets_ptr: tl.tensor,  # [B, K] in and out
    values_ptr: tl.tensor,  # [B, K] in: codes before the newest atom, 0 beyond; out: after it
    energy_ptr: tl.tensor,  # [B] squared residuals, out
    limit_ptr: tl.tensor,  # [B] most atoms
    indices_ptr: tl.tensor,  # [B, K] in and out
    n_chosen_ptr: tl.tensor,  # [B] in and out
    phase_ptr: tl.tensor,  # [B] in and out
    rows_ptr: tl.tensor,  # [programs]
    n_features: int,
    n_nonzero: int,
    IS_OLS: tl.constexpr,
    PLACES: tl.constexpr,
    FEATURES: tl.constexpr,
) -> None:
    """Drops atoms until the codes of the support are positive (Lawson, Hanson, inner loop).

    From the codes before towards the least squares codes, as far as none turns negative; the first
    that reaches 0 goes. Per signal with k atoms: k^2 operations, and 6 k M for each drop.
    """
    b = tl.load(rows_ptr + tl.program_id(0))
    if tl.load(phase_ptr + b) != _DONE:
        places = tl.arange(0, PLACES)
        factor = factor_ptr + b * n_nonzero * n_nonzero
        targets = targets_ptr + b * n_nonzero
        n_before = tl.load(n_chosen_ptr + b)
        limit = tl.load(limit_ptr + b)
        n_chosen = n_before
        codes = tl.load(values_ptr + b * n_nonzero + places, mask=places < n_nonzero, other=0.0)
        right = tl.load(targets + places, mask=places < n_chosen, other=0.0)
        z = _back_substitute(factor, right, n_chosen, n_nonzero, PLACES)
        is_bad = (places < n_chosen) & (z <= 0)
        while tl.max(is_bad.to(tl.int32), axis=0) > 0:
            way = tl.where(is_bad & (codes > z), codes - z, 1.0)
            ratio = tl.where(is_bad, tl.where(codes > z, codes, 0.0) / way, float("inf"))
            share = tl.min(ratio, axis=0)
            place = tl.min(tl.where(ratio == share, places, PLACES), axis=0)
            codes = tl.maximum(codes + share * (z - codes), 0.0)
            energy = _drop(
                place, n_chosen, residual_ptr + b * n_features,
                directions_ptr + b * n_nonzero * n_features, factor, targets,
                indices_ptr + b * n_nonzero, n_features, n_nonzero, PLACES, FEATURES,
            )  # fmt: skip
            tl.store(energy_ptr + b, energy)
            n_chosen -= 1
            tl.debug_barrier()
            tl.store(values_ptr + b * n_nonzero + places, codes, mask=places <= n_chosen)
            tl.debug_barrier()
            kept = values_ptr + b * n_nonzero + places + (places >= place).to(tl.int32)
            codes = tl.load(kept, mask=places < n_chosen, other=0.0)
            right = tl.load(targets + places, mask=places < n_chosen, other=0.0)
            z = _back_substitute(factor, right, n_chosen, n_nonzero, PLACES)
            is_bad = (places < n_chosen) & (z <= 0)
        tl.debug_barrier()
        tl.store(values_ptr + b * n_nonzero + places, z, mask=places < n_before)
        tl.store(n_chosen_ptr + b, n_chosen)
        phase = tl.where((n_chosen < n_before) & IS_OLS, _RESTART, _STEP)
        tl.store(phase_ptr + b, tl.where(n_chosen < limit, phase, _DONE))


@triton.jit
def _leave_residual(
    x: tl.tensor,  # [M]
    dictionary_ptr: tl.tensor,  # [N, M]
    indices: tl.tensor,  # [K]
    values: tl.tensor,  # [K]
    residual: tl.tensor,  # [M] out
    n_chosen: tl.tensor,
    n_features: int,
    FEATURES: tl.constexpr,
) -> None:
    for first in range(0, n_features, FEATURES):
        each = first + tl.arange(0, FEATURES)
        r = tl.load(x + each, mask=each < n_features, other=0.0)
        for i in range(0, n_chosen):
            atom = dictionary_ptr + tl.load(indices + i) * n_features + each
            r -= tl.load(values + i) * tl.load(atom, mask=each < n_features, other=0.0)
        tl.store(residual + each, r, mask=each < n_features)
    tl.debug_barrier()


@triton.jit(do_not_specialize=["n_nonzero"])
def _finish_kernel(
    x_ptr: tl.tensor,  # [B, M]
    dictionary_ptr: tl.tensor,  # [N, M]
    residual_ptr: tl.tensor,  # [B, M] out
    directions_ptr: tl.tensor,  # [B, K, M]
    factor_ptr: tl.tensor,  # [B, K, K]
    targets_ptr: tl.tensor,  # [B, K] overwritten
    indices_ptr: tl.tensor,  # [B, K]
    values_ptr: tl.tensor,  # [B, K] out
    n_chosen_ptr: tl.tensor,  # [B]
    n_features: int,
    n_nonzero: int,
    IS_NONNEGATIVE: tl.constexpr,
    PLACES: tl.constexpr,
    FEATURES: tl.constexpr,
) -> None:
    """Solves for the codes, refines them once by the residual they leave, and leaves the residual.

    Per signal: k^2 + 6 k M operations, reads 12 k M bytes of directions and atoms.
    """
    b = tl.program_id(0).to(tl.int64)
    places = tl.arange(0, PLACES)
    factor = factor_ptr + b * n_nonzero * n_nonzero
    targets = targets_ptr + b * n_nonzero
    indices = indices_ptr + b * n_nonzero
    values = values_ptr + b * n_nonzero
    x = x_ptr + b * n_features
    residual = residual_ptr + b * n_features
    n_chosen = tl.load(n_chosen_ptr + b)
    right = tl.load(targets + places, mask=places < n_chosen, other=0.0)
    z = _back_substitute(factor, right, n_chosen, n_nonzero, PLACES)
    tl.store(values + places, z, mask=places < n_nonzero)
    tl.debug_barrier()
    _leave_residual(x, dictionary_ptr, indices, values, residual, n_chosen, n_features, FEATURES)
    for i in range(0, n_chosen):
        u = directions_ptr + (b * n_nonzero + i) * n_features
        tl.store(targets + i, _dot(u, residual, n_features, FEATURES))
    tl.debug_barrier()
    right = tl.load(targets + places, mask=places < n_chosen, other=0.0)
    refined = z + _back_substitute(factor, right, n_chosen, n_nonzero, PLACES)
    # Rounding may take a nonnegative code across 0.
    z = tl.where(refined > 0, refined, z) if IS_NONNEGATIVE else refined
    tl.store(values + places, z, mask=places < n_nonzero)
    tl.debug_barrier()
    _leave_residual(x, dictionary_ptr, indices, values, residual, n_chosen, n_features, FEATURES)
