"""Refuses to time a wrong answer: every contestant's codes are judged in float64 first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.problems import LassoProblem, OmpProblem

GAP = 1e-5  # what all LASSO contestants must reach: float32 floors near 1e-6
CHUNK = 1024  # signals whose correlations are held in float64 at once
FITTED = 10_000  # signals whose least-squares fit is checked
SAMPLE = 256  # signals whose pursuit is repeated in float64
MIN_AGREEMENT = 0.98  # share of the sample with the same support; float32 breaks ties its own way
MAX_EXCESS = 1e-3  # residual energy above the float64 pursuit's, relative
MAX_ANGLE = 1e-3  # cosine between a residual and an atom of its support, times ||r|| / ||x||


class GateError(AssertionError):
    """A contestant's answer is wrong; it is not timed.

    Attributes:
        value: The figure that failed, when smaller would have been better.
    """

    def __init__(self, reason: str, value: float = float("inf")) -> None:
        super().__init__(reason)
        self.value = value


@dataclass(frozen=True)
class Quality:
    """What the gate measured: ``value`` in the unit named by ``measure``, nonzeros per signal."""

    measure: str
    value: float
    n_nonzero: float

    @property
    def row(self) -> dict[str, float | str]:
        """For the JSON."""
        return {"measure": self.measure, "value": self.value, "n_nonzero": self.n_nonzero}


def lasso_gap(problem: LassoProblem, codes: Tensor) -> Tensor:
    """Relative duality gap per signal ``[B]``, in float64, from the codes alone.

    P(z) - D(theta) over ||x||^2 / 2 with theta = r min(1, alpha / max|D r|); NaN codes give a NaN
    gap, codes that break z >= 0 an infinite one.
    """
    parts = [slice(i, i + CHUNK) for i in range(0, max(len(problem.x), 1), CHUNK)]
    dictionary = problem.dictionary.double()
    return torch.cat([_gap_of(problem, problem.x[p], dictionary, codes[p]) for p in parts])


def _gap_of(problem: LassoProblem, x: Tensor, dictionary: Tensor, codes: Tensor) -> Tensor:
    x, codes = x.double(), codes.double()
    residual = x - codes @ dictionary
    correlations = residual @ dictionary.T
    peak = (correlations if problem.nonnegative else correlations.abs()).amax(dim=1)
    theta = residual * (problem.alpha / peak.clamp_min(problem.alpha))[:, None]
    primal = residual.square().sum(dim=1) / 2 + problem.alpha * codes.abs().sum(dim=1)
    dual = (x.square() - (x - theta).square()).sum(dim=1) / 2
    energy = x.square().sum(dim=1) / 2
    gap = torch.where(energy > 0, (primal - dual) / energy, primal)
    if problem.nonnegative:
        gap = torch.where((codes < 0).any(dim=1), torch.inf, gap)
    return gap


def judge_lasso(problem: LassoProblem, codes: Tensor, target: float = GAP) -> Quality:
    """Demands that 99 of 100 signals are within ``target`` of their minimum.

    Raises:
        GateError: They are not, or the codes have another shape, or hold NaN.
    """
    _check_shape(problem, codes)
    gap = lasso_gap(problem, codes)
    worst = float(gap.quantile(0.99)) if gap.isfinite().all() else float("nan")
    if not worst <= target:
        raise GateError(f"p99 of the relative duality gap {worst:.1e}, not {target:.0e}", worst)
    return Quality("p99 gap", worst, _mean_nonzeros(codes))


def judge_omp(problem: OmpProblem, codes: Tensor) -> Quality:
    """Demands least squares on at most K atoms, and the float64 pursuit's supports and energy.

    Raises:
        GateError: A support is too large, a residual is not orthogonal to its support, too many
            supports differ from those of the same rule in float64, or the energy is higher.
    """
    _check_shape(problem, codes)
    x, dictionary, codes = problem.x.double(), problem.dictionary.double(), codes.double()
    if not codes.isfinite().all():
        raise GateError("codes hold NaN or infinity")
    used = codes != 0
    if int(used.sum(dim=1).max()) > problem.n_nonzero:
        raise GateError(f"a signal has {int(used.sum(dim=1).max())} atoms, K={problem.n_nonzero}")
    part = slice(0, FITTED)
    on_support = ((x[part] - codes[part] @ dictionary) @ dictionary.T).abs() * used[part]
    angle = on_support.amax(dim=1) / x[part].norm(dim=1).clamp_min(1e-12)
    worst = float(angle.max())
    if worst > MAX_ANGLE:
        raise GateError(f"not a least-squares fit: residual correlates {worst:.1e} with its atoms")
    sample = slice(0, SAMPLE)
    support, best = pursue(x[sample], dictionary, problem.n_nonzero, problem.selection)
    agreement = float((used[sample] == support).all(dim=1).double().mean())
    ours = (x[sample] - codes[sample] @ dictionary).square().sum()
    excess = float(ours / best.sum() - 1)
    if agreement < MIN_AGREEMENT or excess > MAX_EXCESS:
        raise GateError(
            f"not the {problem.selection} rule: {agreement:.1%} of the supports agree with float64,"
            f" residual energy {excess:+.2%}"
        )
    return Quality("same support", agreement, _mean_nonzeros(codes))


def pursue(x: Tensor, dictionary: Tensor, n_nonzero: int, selection: str) -> tuple[Tensor, Tensor]:
    """Runs the pursuit as the papers write it: orthonormal directions, residuals, no recursion.

    Returns:
        supports ``[B, N]``, bool, and residual energies ``[B]``.
    """
    each = torch.arange(len(x), device=x.device)
    support = torch.zeros(len(x), len(dictionary), dtype=torch.bool, device=x.device)
    directions = x.new_zeros(len(x), n_nonzero, x.shape[1])
    outside = dictionary.square().sum(dim=1).expand(len(x), -1).clone()
    residual = x.clone()
    floor = 1e-6 * (x @ dictionary.T).abs().amax(dim=1)
    for k in range(n_nonzero):
        correlations = (residual @ dictionary.T).masked_fill(support, 0)
        scores = correlations.square()
        if selection == "ols":
            scores = torch.where(outside > 1e-6, scores / outside.clamp_min(1e-12), 0)
        atom = scores.argmax(dim=1)
        is_running = correlations[each, atom].abs() > floor
        rest = dictionary[atom]
        for _ in range(2):  # once more: rounding
            rest = rest - torch.einsum("bkm,bk->bm", directions, _along(directions, rest))
        direction = torch.nn.functional.normalize(rest, dim=1) * is_running[:, None]
        directions[:, k] = direction
        support[each, atom] |= is_running
        residual = residual - direction * (direction * residual).sum(dim=1, keepdim=True)
        outside = outside - (direction @ dictionary.T).square()
    return support, residual.square().sum(dim=1)


def _along(directions: Tensor, vectors: Tensor) -> Tensor:
    return torch.einsum("bkm,bm->bk", directions, vectors)


def _mean_nonzeros(codes: Tensor) -> float:
    return float((codes != 0).sum(dim=1).double().mean())


def _check_shape(problem: LassoProblem | OmpProblem, codes: Tensor) -> None:
    wanted = (len(problem.x), len(problem.dictionary))
    if tuple(codes.shape) != wanted:
        raise GateError(f"codes are {list(codes.shape)}, wanted {list(wanted)}")
