"""Orthogonal matching pursuit in plain torch, all signals side by side."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.backends.base import Status
from sparsedef.backends.memory import budget, demand
from sparsedef.backends.pursuit import (
    dependence_level,
    most_entries,
    power_of_two,
    rounding_level,
)
from sparsedef.backends.reference.omp_nonnegative import keep_positive
from sparsedef.backends.reference.pursuit import Pursuit

_LOOK = 4  # steps between two looks (waits for the device) at whether any signal is open


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

    Selection ``"omp"`` takes the largest |c| (nonnegative: c), c the correlations with the
    residual; ``"ols"`` the largest c^2 / n2 (nonnegative: with c > 0), n2 the atom's squared norm
    outside the span of the support, which lowers the residual most. Ties go to the lowest index.
    How the state follows from the chosen atoms is in ``pursuit.py``, how nonnegative supports lose
    atoms in ``omp_nonnegative.py``. One product of new directions with all atoms a step; no N x N
    and no K x N numbers, so any N will do.

    Waits for the device every few steps to see whether a signal is open, and in each step when
    ``nonnegative``.

    Source: Pati, Rezaiifar, Krishnaprasad, 1993; Chen, Billings, Luo, 1989 (the OLS rule).
    """
    n_signals, n_features = x.shape
    n_atoms = len(dictionary)
    # A few tensors each of [B, N], of [B, K, M] and of [B, K, K].
    slots = n_nonzero + 1
    needed = 6 * n_atoms + slots * ((8 if nonnegative else 4) * n_features + 6 * slots + 32) + 64
    demand(needed, max_memory, x.dtype, dictionary.shape, who="omp")
    n_rows = max(1, budget(max_memory, x, n_atoms) // needed)
    outputs = (
        torch.empty((n_signals, n_nonzero), dtype=torch.int64, device=x.device),
        x.new_empty((n_signals, n_nonzero)),
        torch.empty_like(x),
        torch.empty(n_signals, dtype=torch.int32, device=x.device),
        torch.empty(n_signals, dtype=torch.int32, device=x.device),
    )
    if limits is None:
        limits = torch.full((n_signals,), n_nonzero, device=x.device)
    limits = limits.clamp_max(n_nonzero)
    for i in range(0, n_signals, n_rows):
        part = slice(i, i + n_rows)
        options = (n_nonzero, selection, nonnegative)
        found = _omp_chunk(x[part], dictionary, tol[part], limits[part], *options)
        for whole, piece in zip(outputs, found, strict=True):
            whole[part] = piece
    return outputs


def _omp_chunk(
    x: Tensor,
    dictionary: Tensor,
    tol: Tensor,
    limits: Tensor,
    n_nonzero: int,
    selection: str,
    nonnegative: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    finite = x.isfinite().all(dim=1)
    x = x.where(finite[:, None], 0)
    scale = power_of_two(x)
    tol = tol * scale * scale
    now = Pursuit.start(x * scale[:, None], dictionary, n_nonzero, selection == "ols")
    floor = rounding_level(x.dtype) * now.correlations.abs().amax(dim=1)
    floor = floor.square() if selection == "ols" else floor
    status = torch.full((len(x),), int(Status.CONVERGED), dtype=torch.int32, device=x.device)
    codes = x.new_zeros(len(x), n_nonzero)
    is_open = finite
    n_steps = most_entries(n_nonzero) + 1 if nonnegative else n_nonzero
    for step in range(n_steps):
        best, atom = _scores(now, selection, nonnegative).max(dim=1)  # of equal ones the first
        is_open = is_open & (best > floor) & (now.n_chosen < limits)
        is_open &= (now.energy > tol) | (tol == 0)
        if nonnegative:
            is_late = is_open & (step >= most_entries(limits))
            status.masked_fill_(is_late, int(Status.MAX_ITER))
            is_open &= ~is_late
        if step % _LOOK == 0 and not is_open.any():
            break
        is_in = now.add(atom, is_open, dependence_level(x.dtype), min(step, n_nonzero))
        status.masked_fill_(is_open & ~is_in, int(Status.EXHAUSTED))
        is_open = is_in
        if nonnegative:
            codes = keep_positive(now, codes)

    atoms = now.atoms()
    codes = (codes if nonnegative else now.codes(atoms)) / scale[:, None]
    residual = x - torch.einsum("bk,bkm->bm", codes, atoms)
    return (
        now.indices[:, :-1],
        codes.where(finite[:, None], torch.nan),
        residual.where(finite[:, None], torch.nan),
        now.n_chosen,
        status.masked_fill(~finite, int(Status.NONFINITE)),
    )


def _scores(now: Pursuit, selection: str, nonnegative: bool) -> Tensor:
    correlations = now.correlations
    fit = correlations.clamp_min(0) if nonnegative else correlations.abs()
    if selection == "omp":
        return fit
    assert now.outside is not None
    is_candidate = now.outside > dependence_level(fit.dtype) * now.norms
    return (fit.square_() / now.outside).masked_fill_(~is_candidate, 0)
