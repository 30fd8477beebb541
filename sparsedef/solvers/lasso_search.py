"""The penalty that gives each signal a support of a wanted size."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef import ops
from sparsedef.solvers.alpha import largest_alpha
from sparsedef.solvers.lasso_inputs import Inputs, Outputs, Settings
from sparsedef.solvers.lasso_repair import join
from sparsedef.solvers.lasso_solve import Plan, dense_chunks, solve

ACCURACY = 1e-3  # relative width of the bracket at which a search ends
SMALLEST = 1e-4  # of alpha_max: no smaller penalty is tried


def solve_to_support(
    inputs: Inputs, settings: Settings, how: Plan, n_nonzero: int
) -> tuple[Outputs, str, Tensor]:
    """Finds each signal's penalty, then solves with it from the codes that were found there.

    Returns:
        The op's outputs (with the rounds of the search in ``n_iter``), the kind of their
        gradient, and the penalties ``[B]``, constants to autograd.
    """
    parts, memory = dense_chunks(inputs.x, len(inputs.dictionary), how.max_memory)
    if how.slots:
        how = how._replace(slots=min(max(how.slots, n_nonzero), len(inputs.dictionary)))
    how = how._replace(max_memory=memory)
    solved, penalties, kinds = [], [], set()
    for part in parts:
        chunk = inputs.of_rows(part)
        with torch.no_grad():
            alpha, codes, n_iter = _search(chunk, settings, how, n_nonzero)
        outputs, kind = solve(chunk._replace(alpha=alpha, init=codes), settings, how)
        solved.append((*outputs[:4], outputs[4] + n_iter, outputs[5]))
        penalties.append(alpha)
        kinds.add(kind)
    kind = kinds.pop() if len(kinds) == 1 else "mixed"
    return join(solved), kind, torch.cat(penalties)


def _search(
    inputs: Inputs, settings: Settings, how: Plan, n_nonzero: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Halves the penalty until the support is too large, then the bracket, in the logarithm.

    Each solve starts from the codes of the one before; a signal leaves when it is done, and its
    steps depend on nothing but itself.

    Returns:
        alpha ``[B]``, the codes found there ``[B, N]``, the rounds spent ``[B]``.
    """
    top, _ = largest_alpha(inputs.x, inputs.dictionary, settings.nonnegative)
    alpha, low = top.clone(), torch.zeros_like(top)  # support at alpha fits, at low it does not
    codes = top.new_zeros(len(top), len(inputs.dictionary))
    n_iter = torch.zeros(len(top), dtype=torch.int32, device=top.device)
    rows = (top > 0).nonzero()[:, 0]
    warm = codes[rows]
    while len(rows):
        high, under = alpha[rows], low[rows]
        floor = SMALLEST * top[rows]
        trial = torch.where(under > 0, (under * high).sqrt(), torch.maximum(high / 2, floor))
        task = inputs.of_rows(rows)._replace(alpha=trial, init=warm)
        warm, _, _, _, rounds, _ = ops.lasso(*task, *settings, 0, how.max_memory, how.backend)
        n_iter[rows] += rounds
        size = torch.count_nonzero(warm, dim=1)
        fits = size <= n_nonzero
        alpha[rows] = trial.where(fits, high)
        low[rows] = under.where(fits, trial)
        codes[rows] = warm.where(fits[:, None], codes[rows])
        is_narrow = (low[rows] > 0) & (alpha[rows] <= (1 + ACCURACY) * low[rows])
        is_last = fits & (trial <= floor)
        keep = (~((size == n_nonzero) | is_narrow | is_last)).nonzero()[:, 0]
        rows, warm = rows[keep], warm[keep]
    return alpha, codes, n_iter
