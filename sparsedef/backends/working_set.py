"""LASSO by working sets: an exact answer for the price of a few matrix products.

The driver is torch on any device; the small problems are solved by a function that the backend
brings (``small_lasso.solve_small`` is the one in torch).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

from sparsedef.backends.certificate import gap_from_peak
from sparsedef.backends.memory import budget, demand
from sparsedef.backends.slots import Solved
from sparsedef.backends.small_lasso import solve_small

SolveSmall = Callable[[Tensor, Tensor, Tensor, Tensor, bool], Tensor]

_FIRST = 32  # atoms in the first working set
_GROWTH = 24  # violators that may join in one round, at least
_WIDTH = 16  # working sets are padded to a multiple of this
_PATIENCE = 10  # rounds without a smaller gap after which a signal is given up


class _Task(NamedTuple):
    """What all signals share."""

    dictionary: Tensor  # [N, M]
    ridge: Tensor | None  # [N]
    gram: Tensor | None  # [N, N], where it is cheaper than the working sets' own
    nonnegative: bool
    tol: float
    max_iter: int
    most_members: int  # no working set is larger
    small_numbers: int  # workspace of the small problems
    solve: SolveSmall


class _Open(NamedTuple):
    """The signals of a chunk that are not done."""

    rows: Tensor  # [U], their places in the batch
    x: Tensor  # [U, M]
    alpha: Tensor  # [U]
    residual: Tensor  # [U, M]
    members: Tensor  # [U, W], the working sets; unused places -1
    codes: Tensor  # [U, W], unused places 0
    best: Tensor  # [U], smallest gap so far
    since: Tensor  # [U], the round it was reached in

    def take(self, index: Tensor) -> _Open:
        return _Open(*(each.index_select(0, index) for each in self))


def active_set(
    x: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    ridge: Tensor | None,
    init: Tensor | None,
    nonnegative: bool,
    tol: float,
    max_iter: int,
    slots: int,
    max_memory: int,
    solve: SolveSmall = solve_small,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Solves every signal's LASSO on a working set that grows by the atoms that violate it.

    Round: solve on the working set; one product of the residuals with all atoms gives the gap
    and the violators; signals whose relative gap is ``tol`` leave; the others keep their support
    and take the worst violators in. The objective falls in each round, so a set never returns.
    A signal's set is chosen by that signal alone; its neighbours only pad it.

    Waits for the device once a round (and once at the start when there is an ``init``), for how
    many signals are open and how large their sets grow. The codes stay in the working sets, so
    that compact outputs never need B x N numbers.

    Returns:
        The outputs of the LASSO op, see ``docs/backends.md``.

    Source: Massias, Gramfort, Salmon, "Celer: a fast solver for the Lasso with dual
    extrapolation", 2018 (working sets); Lee et al., "Efficient sparse coding algorithms", 2007
    (the step to the first sign change).
    """
    solved = Solved.empty(x, len(dictionary), slots)
    n_rows, task = _plan(x, dictionary, ridge, nonnegative, tol, max_iter, max_memory, solve)
    for i in range(0, len(x), n_rows):
        part = slice(i, i + n_rows)
        rows = torch.arange(i, min(i + n_rows, len(x)), device=x.device)
        finite = x[part].isfinite().all(dim=1)
        signals = x[part].where(finite[:, None], 0)
        start = _start(task, rows, signals, alpha[part], None if init is None else init[part])
        _solve_chunk(task, start, solved)
        solved.close(part, finite, tol)
    return solved.outputs()


def _plan(
    x: Tensor,
    dictionary: Tensor,
    ridge: Tensor | None,
    nonnegative: bool,
    tol: float,
    max_iter: int,
    max_memory: int,
    solve: SolveSmall,
) -> tuple[int, _Task]:
    """Divides the memory: how many signals at once, and what is left for the small problems."""
    n_atoms, n_features = dictionary.shape
    # A signal's correlations, their sizes, their compacted copies; what has M numbers.
    wide = 4 * n_atoms + 8 * n_features + 256
    # Larger supports are degenerate, or due to a ridge; under a limit they get what fits.
    least = min(n_atoms, min(n_atoms, n_features) + _FIRST)
    needed = wide + _small(least, n_features)
    demand(needed, max_memory, x.dtype, dictionary.shape)
    numbers = max(needed, budget(max_memory, x, n_atoms))
    gram = None
    if n_atoms**2 <= min(numbers // 4, numbers - needed, len(x) * _FIRST**2):
        gram = dictionary @ dictionary.mT
        numbers -= n_atoms**2
    n_rows = max(1, min(numbers // 2, numbers - needed + wide) // wide)
    left = numbers - min(n_rows, len(x)) * wide
    most = n_atoms
    while max_memory and most > least and _small(most, n_features) > left:
        most = max(least, most * 7 // 8)
    task = _Task(dictionary, ridge, gram, nonnegative, tol, max_iter, most, left, solve)
    return n_rows, task


def _small(width: int, n_features: int) -> int:
    """Numbers that one small problem takes: its Gram matrix, a solver's copies, its atoms."""
    return 6 * width**2 + width * (n_features + 16)


def _start(task: _Task, rows: Tensor, x: Tensor, alpha: Tensor, init: Tensor | None) -> _Open:
    best = torch.full_like(alpha, torch.inf)
    since = torch.zeros_like(rows)
    if init is None:
        members = torch.full_like(rows, -1)[:, None]
        return _Open(rows, x, alpha, x, members, x.new_zeros(len(x), 1), best, since)
    size = init.abs() * (task.dictionary != 0).any(dim=1)  # a zero atom's code stays 0
    width = int(torch.count_nonzero(size, dim=1).amax())
    top = size.topk(min(max(width, 1), task.most_members), dim=1)
    is_on = top.values > 0
    codes = init.gather(1, top.indices).where(is_on, 0)
    residual = x - _combine(task.dictionary, top.indices, codes)
    return _Open(rows, x, alpha, residual, top.indices.where(is_on, -1), codes, best, since)


def _solve_chunk(task: _Task, now: _Open, solved: Solved) -> None:
    for done in range(task.max_iter + 1):
        correlations, score, gap = _look(task, now)
        is_better = gap < now.best
        now = now._replace(
            best=gap.where(is_better, now.best), since=now.since.where(~is_better, done)
        )
        if done == task.max_iter:
            solved.put(now.rows, now.members, now.codes, now.residual, gap, done)
            return
        is_open = (gap > task.tol) & (done - now.since < _PATIENCE)
        n_on = torch.count_nonzero(now.codes, dim=1)
        room = torch.full_like(n_on, _FIRST) if done == 0 else (n_on // 2).clamp_min(_GROWTH)
        room = room.clamp_max(task.most_members - n_on)
        wanted = torch.minimum(torch.count_nonzero(score > 0, dim=1), room) + n_on
        n_open, width = _read(is_open.sum(), wanted.where(is_open, 0).amax())
        if n_open < len(is_open):
            order = (~is_open).to(torch.uint8).argsort(stable=True)
            keep, leave = order[:n_open], order[n_open:]
            gone = now.take(leave)
            solved.put(gone.rows, gone.members, gone.codes, gone.residual, gap[leave], done)
            if n_open == 0:
                return
            now, n_on, room = now.take(keep), n_on[keep], room[keep]
            correlations, score = correlations[keep], score[keep]
        width = min(-(-width // _WIDTH) * _WIDTH, task.most_members)
        members, start = _grow(now, score, n_on, room, width, is_first=done == 0)
        slopes = correlations.gather(1, members.clamp_min(0)).where(members >= 0, 0)
        del correlations, score, is_open
        codes = _solve_small(task, members, slopes, start, now.alpha)
        residual = now.x - _combine(task.dictionary, members.clamp_min(0), codes)
        now = now._replace(members=members, codes=codes, residual=residual)


def _look(task: _Task, now: _Open) -> tuple[Tensor, Tensor, Tensor]:
    """Correlations of all atoms ``[U, N]``, how much each violates (else -1), the gap ``[U]``."""
    place = now.members.clamp_min(0)
    correlations = now.residual @ task.dictionary.mT
    ridge = None if task.ridge is None else task.ridge[place]
    if ridge is not None:
        correlations.scatter_add_(1, place, -ridge * now.codes)
    score = correlations.clone() if task.nonnegative else correlations.abs()
    at_members = correlations.gather(1, place)
    gap = gap_from_peak(
        now.x, now.residual, now.codes, at_members, now.alpha, score.amax(dim=1), ridge
    )
    score.masked_fill_(score <= now.alpha[:, None], -1)
    # The support is in the set already: it violates nothing.
    limit = torch.full_like(now.codes, torch.inf).masked_fill(now.codes != 0, -1)
    score.scatter_reduce_(1, place, limit, "amin")
    return correlations, score, gap


def _read(n_open: Tensor, width: Tensor) -> tuple[int, int]:
    """Brings both counts to the host by one copy, the only wait of a round."""
    return divmod(int(n_open * 2**32 + width), 2**32)


def _grow(
    now: _Open, score: Tensor, n_on: Tensor, room: Tensor, width: int, *, is_first: bool
) -> tuple[Tensor, Tensor]:
    """The support and the worst violators, ``room`` at most: members and codes ``[U, width]``."""
    most = _FIRST if is_first else max(_GROWTH, width // 2)
    top = score.topk(min(most, width, score.shape[1]), dim=1)
    rank = torch.arange(top.values.shape[1], device=score.device)
    joins = (top.values > 0) & (rank < room[:, None])
    is_on = now.codes != 0
    order = (~is_on).to(torch.uint8).argsort(dim=1, stable=True)
    more = width + len(rank) - order.shape[1]  # may be negative: then only unused places go
    members = pad(now.members.where(is_on, -1).gather(1, order), (0, more), value=-1)
    codes = pad(now.codes.gather(1, order), (0, more))
    members.scatter_(1, n_on[:, None] + rank, top.indices.where(joins, -1))
    return members[:, :width].contiguous(), codes[:, :width].contiguous()


def _solve_small(
    task: _Task, members: Tensor, slopes: Tensor, start: Tensor, alpha: Tensor
) -> Tensor:
    """Solves on the working sets, as many at once as fit the memory."""
    size = _small(members.shape[1], task.dictionary.shape[1])
    step = max(1, task.small_numbers // size)
    codes = torch.empty_like(start)
    for i in range(0, len(members), step):
        part = slice(i, i + step)
        gram = _gram(task, members[part])
        codes[part] = task.solve(gram, slopes[part], start[part], alpha[part], task.nonnegative)
    return codes.where(members >= 0, 0)


def _gram(task: _Task, members: Tensor) -> Tensor:
    """D_W D_W^T + diag(ridge_W), ``[U, W, W]``; rows of unused places are 0."""
    is_slot, place = members >= 0, members.clamp_min(0)
    if task.gram is None:
        atoms = task.dictionary[place]
        atoms *= is_slot[:, :, None]
        gram = atoms @ atoms.mT
    else:
        gram = task.gram[place[:, :, None], place[:, None, :]]
        gram *= is_slot[:, :, None] & is_slot[:, None]
    if task.ridge is not None:
        gram.diagonal(dim1=1, dim2=2).add_(task.ridge[place] * is_slot)
    return gram


def _combine(dictionary: Tensor, place: Tensor, codes: Tensor) -> Tensor:
    """Sums each signal's atoms, ``[U, M]``, without laying them side by side."""
    return embedding_bag(place, dictionary, per_sample_weights=codes, mode="sum")
