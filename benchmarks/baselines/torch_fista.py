"""FISTA in a dozen lines of torch, as a user would write it: Gram matrix, per-signal restart."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.contestants import Call, Contestant, Problem
from benchmarks.problems import LassoProblem


@torch.no_grad()
def fista(x: Tensor, dictionary: Tensor, alpha: float, nonnegative: bool, n_steps: int) -> Tensor:
    """Minimises 1/2 ||x - z D||^2 + alpha ||z||_1 by ``n_steps`` steps; returns z ``[B, N]``.

    The Gram matrix of the atoms serves where a product with it is cheaper than two with D.
    Source: Beck and Teboulle, 2009; restart by O'Donoghue and Candes, 2015.
    """
    n_atoms, n_features = dictionary.shape
    covariance = dictionary.T @ dictionary  # same largest eigenvalue as the Gram matrix
    step = 1 / float(torch.linalg.eigvalsh(covariance)[-1])
    gram = dictionary @ dictionary.T if n_atoms <= 2 * n_features else None
    target = x @ dictionary.T
    codes = x.new_zeros(len(x), n_atoms)
    momentum, t = codes, x.new_ones(len(x), 1)
    for _ in range(n_steps):
        fitted = momentum @ gram if gram is not None else (momentum @ dictionary) @ dictionary.T
        moved = torch.add(momentum, target - fitted, alpha=step)
        if nonnegative:
            new = (moved - step * alpha).clamp_min_(0)
        else:
            new = torch.nn.functional.softshrink(moved, step * alpha)
        change = new - codes
        t = torch.where(((momentum - new) * change).sum(dim=1, keepdim=True) > 0, 1.0, t)
        t_next = (1 + (1 + 4 * t.square()).sqrt()) / 2
        momentum = torch.addcmul(new, change, (t - 1) / t_next)
        codes, t = new, t_next
    return codes


def _prepare(problem: LassoProblem, n_steps: int, threads: int) -> Call:
    """The thread count is torch's own, set by the fixture."""
    return lambda: fista(problem.x, problem.dictionary, problem.alpha, problem.nonnegative, n_steps)


def _to_codes(result: Tensor, problem: Problem) -> Tensor:
    return result


CONTESTANTS = (
    Contestant(
        "torch FISTA",
        "torch",
        lambda problem: isinstance(problem, LassoProblem),
        _prepare,
        _to_codes,
        (100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2400),
        most_work=5.5e5,
    ),
)
