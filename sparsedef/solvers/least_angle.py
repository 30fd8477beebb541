"""Least angle regression: how far a signal's best correlated atoms go together before more join."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.backends.memory import budget
from sparsedef.backends.pursuit import dependence_level, power_of_two, rounding_level
from sparsedef.backends.reference.pursuit import Pursuit
from sparsedef.ops.library import as_given


@torch.no_grad()
def least_angle(x: Tensor, dictionary: Tensor, n_steps: int) -> Tensor:
    """Walks ``n_steps`` steps of least angle regression from codes of 0, all signals side by side.

    In each step the atom with the largest absolute correlation joins, and the codes of all that
    have joined change so that their correlations with the residual fall alike, until another atom
    has as large a one, or none is left to join and the correlations are 0. No atom leaves: where a
    code would change its sign, it does (the LASSO's path would drop the atom there). Atoms of any
    norm; one that depends on those that have joined never does.

    Args:
        x: Signals, ``[B, M]``.
        dictionary: Atoms, ``[N, M]``.
        n_steps: K, at most min(M, N).

    Returns:
        Codes, ``[B, N]``; NaN for a signal that is not finite.

    Gradients: none.

    Source: Efron, Hastie, Johnstone, Tibshirani, "Least angle regression", 2004, section 2.
    """
    n_atoms, n_features = dictionary.shape
    # About eight tensors of [B, N], two of [B, K, M] and one of [B, K, K].
    needed = 8 * n_atoms + (n_steps + 1) * (2 * n_features + n_steps)
    n_rows = max(1, budget(0, x, n_atoms) // needed)
    with as_given(x.device):
        parts = [_walk(part, dictionary, n_steps) for part in x.split(n_rows)]
    return torch.cat(parts)


def _walk(x: Tensor, dictionary: Tensor, n_steps: int) -> Tensor:
    """Works in units of each signal's size; with C the largest correlation of those outside.

    With s the signs of the chosen atoms' correlations, the weights w = G^-1 s (G their Gram matrix)
    lower each of these correlations at rate 1 and any other, c_j, at rate a_j = <w D, d_j>. Atom j
    draws level after min+ {(C - c_j) / (1 - a_j), (C + c_j) / (1 + a_j)}; all are 0 after C.
    """
    is_open = x.isfinite().all(dim=1)
    x = x.where(is_open[:, None], 0)
    scale = power_of_two(x)
    now = Pursuit.start(x * scale[:, None], dictionary, n_steps, has_outside=True)
    correlations = now.correlations.clone()
    noise = rounding_level(x.dtype) * correlations.abs().amax(dim=1)
    codes = torch.zeros_like(now.targets[:, :-1])
    is_finite = is_open
    for step in range(n_steps):
        level, atom = _outside(now, correlations).max(dim=1)
        is_open = is_open & (level > noise)
        is_open = now.add(atom, is_open, dependence_level(x.dtype), step)
        indices = now.indices[:, :-1]
        signs = correlations.gather(1, indices.clamp_min(0)).sign() * (indices >= 0)
        weights = torch.cholesky_solve(signs[:, :, None], now.factor[:, :-1, :-1])[:, :, 0]
        slopes = torch.einsum("bk,bkm->bm", weights, now.atoms()) @ dictionary.T
        length = _first_to_join(now, correlations, slopes, level, noise).where(is_open, 0)
        codes += length[:, None] * weights
        correlations -= length[:, None] * slopes
    indices = now.indices[:, :-1]
    found = torch.zeros_like(correlations)
    found.scatter_add_(1, indices.clamp_min(0), codes / scale[:, None])
    return found.masked_fill(~is_finite[:, None], torch.nan)


def _outside(now: Pursuit, correlations: Tensor) -> Tensor:
    """Absolute correlations of the atoms that can still join, 0 for the others, ``[B, N]``."""
    assert now.outside is not None
    can_join = now.outside > dependence_level(correlations.dtype) * now.norms
    return correlations.abs().where(can_join, 0)


def _first_to_join(
    now: Pursuit, correlations: Tensor, slopes: Tensor, level: Tensor, noise: Tensor
) -> Tensor:
    """How far until an atom draws level, ``[B]``; one that is level already does not count."""
    assert now.outside is not None
    can_join = now.outside > dependence_level(correlations.dtype) * now.norms
    top = level[:, None]
    lengths = []
    for sign in (1, -1):
        ahead, rate = top - sign * correlations, 1 - sign * slopes
        will_join = can_join & (ahead > noise[:, None]) & (rate > 0)
        lengths.append((ahead / rate).masked_fill(~will_join, torch.inf).amin(dim=1))
    return torch.minimum(torch.minimum(*lengths), level)
