"""Refuses to time a wrong answer: every contestant's answer is judged in float64 first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import fold, unfold

from benchmarks.omp_problems import OmpProblem, PatchProblem
from benchmarks.photographs import PATCH
from benchmarks.problems import LassoProblem
from benchmarks.pursuit import is_a_way, pursue, supports

GAP = 1e-5  # what all LASSO contestants must reach: float32 floors near 1e-6
CHUNK = 1024  # signals whose correlations are held in float64 at once
TIE = 32 * torch.finfo(torch.float32).eps  # of ||x||: what rounding does to a correlation
MAX_TIED = 50  # of CHUNK supports: where more differ, it is another rule
MAX_EXCESS = 1e-4  # between a residual's norm and the float64 pursuit's, relative
ROUNDING = 1e-6  # of ||x||: nothing is said about a residual's norm below
MAX_ANGLE = 1e-4  # cosine between a residual and an atom of its support, times ||r|| / ||x||
PIXEL = 1e-4  # between 99 of 100 pixels, in [0, 1], and the float64 pursuit's
TIED_PIXEL = 1e-2  # between any other, under a patch whose scores tied, and the float64 pursuit's


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
    """Demands of every signal what the same rule gives in float64, ties aside.

    At most K atoms, fitted by least squares; the residual's norm that of the float64 pursuit, to
    1e-4; its support as well, unless scores tied: then each choice must have been the best within
    rounding (:func:`benchmarks.pursuit.is_a_way`).

    Raises:
        GateError: One of these does not hold.
    """
    _check_shape(problem, codes)
    if not codes.isfinite().all():
        raise GateError("codes hold NaN or infinity")
    most = int((codes != 0).sum(dim=1).max()) if len(codes) else 0
    if most > problem.n_nonzero:
        raise GateError(f"a signal has {most} atoms, K={problem.n_nonzero}")
    indices, left = reference(problem)
    dictionary, n_same = problem.dictionary.double(), 0
    atoms = dictionary.cpu()
    for i in range(0, len(codes), CHUNK):
        part = slice(i, i + CHUNK)
        support, used = supports(indices[part], len(dictionary)), codes[part] != 0
        differs = (used != support).any(dim=1)
        if int(differs.sum()) > MAX_TIED:
            raise GateError(_not_the_rule(problem, f"{int(differs.sum())} in {len(used)} differ"))
        _check_fit(problem.x[part].double(), dictionary, codes[part].double(), left[part], differs)
        for b in differs.nonzero()[:, 0].tolist():
            own = used[b].nonzero()[:, 0].tolist()
            given = (problem.x[i + b].cpu(), atoms, own, problem.n_nonzero, problem.selection)
            if not is_a_way(*given, tie=TIE):
                raise GateError(_not_the_rule(problem, f"that of signal {i + b} is no tie"))
        n_same += int((~differs).sum())
    return Quality("same support", n_same / max(len(codes), 1), _mean_nonzeros(codes))


def _not_the_rule(problem: OmpProblem, why: str) -> str:
    return f"not the {problem.selection} rule: of the supports and float64's, {why}"


def _check_fit(x: Tensor, dictionary: Tensor, codes: Tensor, left: Tensor, differs: Tensor) -> None:
    """Demands least squares, and the norms of ``left`` where the support is the same."""
    size = x.norm(dim=1)
    residual = x - codes @ dictionary
    angle = ((residual @ dictionary.T).abs() * (codes != 0)).amax(dim=1)
    worst = float((angle / size.clamp_min(1e-12)).max())
    if worst > MAX_ANGLE:
        raise GateError(f"not a least-squares fit: residual correlates {worst:.1e} with its atoms")
    norm, wanted = residual.norm(dim=1), left.norm(dim=1)
    excess = ((norm - wanted).abs() - ROUNDING * size) / wanted.clamp_min(1e-300)
    worst = float(excess.masked_fill(differs, 0).max())
    if worst > MAX_EXCESS:
        raise GateError(f"a residual's norm is {worst:.1e} off, relative")


def judge_patches(problem: PatchProblem, images: Tensor) -> Quality:
    """Demands the images that the same rule rebuilds in float64.

    99 of 100 pixels agree to 1e-4. All agree to 1e-2: where scores tie, a patch may become another.

    Raises:
        GateError: Pixels are further off, or they have another shape, or hold NaN.
    """
    if images.shape != problem.images.shape:
        raise GateError(f"images are {list(images.shape)}, wanted {list(problem.images.shape)}")
    indices, left = reference(problem.coding)
    height, width = images.shape[2:]
    patches = unfold(problem.images.double(), PATCH).mT
    rebuilt = patches - left.view_as(patches)
    counts = fold(torch.ones_like(patches).mT, (height, width), PATCH)
    wanted = fold(rebuilt.mT, (height, width), PATCH) / counts
    off = (images.double() - wanted).abs().flatten()
    most = float(off.kthvalue(max(1, int(0.99 * len(off)))).values)
    worst = float(off.max())  # NaN when one is
    if not (most <= PIXEL and worst <= TIED_PIXEL):
        raise GateError(f"1 in 100 pixels is {most:.1e} off or more, one {worst:.1e}")
    return Quality("largest pixel error", worst, float((indices >= 0).sum(dim=1).double().mean()))


_known: list[tuple[OmpProblem, tuple[Tensor, Tensor]]] = []


def reference(problem: OmpProblem) -> tuple[Tensor, Tensor]:
    """The float64 pursuit, as :func:`benchmarks.pursuit.pursue` gives it; the last two are kept."""
    for known, answer in _known:
        is_same = known.x is problem.x and known.dictionary is problem.dictionary
        if is_same and known.facts == problem.facts:
            return answer
    answer = pursue(problem.x, problem.dictionary, problem.n_nonzero, problem.selection)
    _known[:] = [*_known[-1:], (problem, answer)]
    return answer


def _mean_nonzeros(codes: Tensor) -> float:
    return float((codes != 0).sum(dim=1).double().mean())


def _check_shape(problem: LassoProblem | OmpProblem, codes: Tensor) -> None:
    wanted = (len(problem.x), len(problem.dictionary))
    if tuple(codes.shape) != wanted:
        raise GateError(f"codes are {list(codes.shape)}, wanted {list(wanted)}")
