"""ISTA and FISTA: proximal gradient steps, all signals side by side."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.backends.certificate import relative_gap
from sparsedef.backends.shrinkage import lipschitz, soft_threshold

_CHECK_EVERY = 10  # steps between two looks at the gap


def proximal(
    x: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    ridge: Tensor | None,
    init: Tensor | None,
    nonnegative: bool,
    tol: float,
    max_iter: int,
    *,
    accelerated: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Runs ISTA (or FISTA with adaptive restart) until each signal's relative gap is ``tol``.

    One step with L = sigma_max(D)^2 + max ridge:

        z <- shrink(y + ((x - y D) D^T - ridge y) / L, alpha / L)

    ISTA has y = z; FISTA y = z_new + (t - 1) / t_new (z_new - z), and a signal's momentum starts
    afresh whenever it points uphill. Signals that are done leave the batch; ``tol = 0`` runs
    exactly ``max_iter`` steps.

    Returns:
        codes ``[B, N]``, residual ``[B, M]``, relative gap ``[B]``, steps taken ``[B]``.

    Source: Daubechies, Defrise, De Mol, 2004; Beck, Teboulle, 2009; O'Donoghue, Candes, 2015.
    """
    codes = x.new_zeros(len(x), len(dictionary)) if init is None else init.clone()
    step = 1 / lipschitz(dictionary, ridge).clamp_min(torch.finfo(x.dtype).tiny)
    residual = x - codes @ dictionary
    gap = relative_gap(x, residual, codes, residual @ dictionary.mT, alpha, nonnegative, ridge)
    n_iter = torch.zeros(len(x), dtype=torch.int32, device=x.device)
    rows = torch.arange(len(x), device=x.device)
    if tol > 0:
        rows = rows[gap > tol]
    state = _start(codes[rows])
    for done in range(1, max_iter + 1):
        if len(rows) == 0:
            break
        state = _step(
            x[rows], dictionary, alpha[rows], ridge, state, step, nonnegative, accelerated
        )
        if done < max_iter and (tol == 0 or done % _CHECK_EVERY):
            continue
        codes[rows] = state[0]
        residual[rows] = x[rows] - state[0] @ dictionary
        correlations = residual[rows] @ dictionary.mT
        gap[rows] = relative_gap(
            x[rows], residual[rows], state[0], correlations, alpha[rows], nonnegative, ridge
        )
        n_iter[rows] = done
        is_open = gap[rows] > tol
        rows, state = rows[is_open], (state[0][is_open], state[1][is_open], state[2][is_open])
    return codes, residual, gap, n_iter


def unrolled(
    x: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    ridge: Tensor | None,
    init: Tensor | None,
    nonnegative: bool,
    max_iter: int,
    *,
    accelerated: bool,
) -> Tensor:
    """Runs exactly ``max_iter`` steps of :func:`proximal` for autograd to record.

    The gradient is that of the algorithm, step size included, not of the solution that it would
    reach. Memory grows with ``max_iter``.
    """
    codes = x.new_zeros(len(x), len(dictionary)) if init is None else init
    step = 1 / lipschitz(dictionary, ridge).clamp_min(torch.finfo(x.dtype).tiny)
    state = _start(codes)
    for _ in range(max_iter):
        state = _step(x, dictionary, alpha, ridge, state, step, nonnegative, accelerated)
    return state[0]


_State = tuple[Tensor, Tensor, Tensor]  # codes z [B, N], point y [B, N], momentum t [B, 1]


def _start(codes: Tensor) -> _State:
    return codes, codes, codes.new_ones(len(codes), 1)


def _step(
    x: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    ridge: Tensor | None,
    state: _State,
    step: Tensor,
    nonnegative: bool,
    accelerated: bool,
) -> _State:
    codes, point, momentum = state
    descent = (x - point @ dictionary) @ dictionary.mT
    if ridge is not None:
        descent = descent - ridge * point
    forward = point + descent * step
    new = soft_threshold(forward, alpha[:, None] * step, nonnegative)
    if not accelerated:
        return new, new, momentum
    change = new - codes
    is_uphill = ((point - new) * change).sum(dim=1, keepdim=True) > 0
    momentum = momentum.where(~is_uphill, 1)
    next_momentum = (1 + (1 + 4 * momentum.square()).sqrt()) / 2
    return new, new + (momentum - 1) / next_momentum * change, next_momentum
