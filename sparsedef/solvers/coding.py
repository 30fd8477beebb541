"""scikit-learn's five words for how to code a signal, each served by a solver of ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral
from typing import NamedTuple

import torch
from torch import Tensor

from sparsedef import ops
from sparsedef.backends import Problem, Status, select_backend
from sparsedef.backends.shrinkage import soft_threshold
from sparsedef.ops.library import as_given
from sparsedef.solvers.checks import check_choice, check_per_signal, clip_n_nonzero
from sparsedef.solvers.lasso import lasso
from sparsedef.solvers.least_angle import least_angle
from sparsedef.solvers.result import spread

COUNTED = ("lars", "omp")  # take n_nonzero; the others take alpha


class Request(NamedTuple):
    """What is asked for, in scikit-learn's words.

    Attributes:
        algorithm: A word of :data:`CODERS`.
        n_nonzero: Atoms per signal, of ``"lars"`` and ``"omp"``; ``None``: M / 10, at least 1.
        alpha: Penalty or threshold of the others, a number or ``[B]``; ``None``: 1.
        positive: Demand codes >= 0; not with ``"lars"`` and ``"omp"``.
        max_iter: Most rounds of the LASSO; 0: the start is the answer.
        init: Start of ``"lasso_cd"``, ``[B, N]``.
        correlations: What ``"threshold"`` shrinks, ``[B, N]``; ``None``: x D^T.
        backend: As everywhere.
        who: For messages.
    """

    algorithm: str
    n_nonzero: int | None = None
    alpha: float | Tensor | None = None
    positive: bool = False
    max_iter: int = 1000
    init: Tensor | None = None
    correlations: Tensor | None = None
    backend: str = "auto"
    who: str = "sparse_encode"


def encode(x: Tensor, dictionary: Tensor, how: Request) -> tuple[Tensor, Tensor]:
    """Codes checked signals ``[B, M]`` over checked atoms ``[N, M]``, by checked words.

    Returns:
        Codes ``[B, N]``, and how each signal ended, ``[B]``.
    """
    return CODERS[how.algorithm](x, dictionary, how)


def check_words(
    who: str,
    algorithm: object,
    n_nonzero: object,
    max_iter: object,
    n_jobs: object,
    positive: object,
) -> int | None:
    """Demands a known algorithm, counts, and no positive codes of ``"lars"`` and ``"omp"``.

    Returns:
        ``n_nonzero`` as an int, or ``None``.
    """
    check_choice(who, "algorithm", algorithm, tuple(CODERS))
    if positive and algorithm in COUNTED:
        raise ValueError(
            f"{who}: positive codes need 'lasso_lars', 'lasso_cd' or 'threshold', got"
            f" {algorithm!r} (sparsedef.omp(..., nonnegative=True) is a positive 'omp')"
        )
    _check_int(who, "max_iter", max_iter, 0)
    if n_jobs is not None:
        _check_int(who, "n_jobs", n_jobs, None)
    return None if n_nonzero is None else _check_int(who, "n_nonzero_coefs", n_nonzero, 1)


def _check_int(who: str, name: str, value: object, least: int | None) -> int:
    """As ``check_count``, for numpy's integers too."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{who}: {name} must be an int, got {type(value).__name__}")
    if least is not None and value < least:
        raise ValueError(f"{who}: {name} must be at least {least}, got {value}")
    return int(value)


def warn_unfinished(
    status: Tensor, how: Request, category: type[Warning] = UserWarning, stacklevel: int = 3
) -> None:
    """Warns when signals are short of what was asked for; their codes are the best found."""
    n_open = int((status == int(Status.MAX_ITER)).sum())
    if n_open:
        warnings.warn(
            f"{how.who}: {n_open} of {len(status)} signals are not at the minimum after"
            f" max_iter={how.max_iter} rounds (more rounds help; with alpha near 0 rounding may"
            " bar the way)",
            category,
            stacklevel=stacklevel,
        )
    n_dependent = int((status == int(Status.EXHAUSTED)).sum())
    if n_dependent:
        warnings.warn(
            f"{how.who}: {n_dependent} of {len(status)} signals have fewer atoms than asked for:"
            " the next best depends on those chosen",
            RuntimeWarning,
            stacklevel=stacklevel,
        )


def _by_lasso(x: Tensor, dictionary: Tensor, how: Request) -> tuple[Tensor, Tensor]:
    """The minimum of 1/2 ||x - z D||^2 + alpha ||z||_1, whichever way scikit-learn would go."""
    start = how.init if how.algorithm == "lasso_cd" else None
    if start is not None and how.positive:
        start = start.clamp_min(0)
    if how.max_iter == 0:
        codes = x.new_zeros(len(x), len(dictionary)) if start is None else start
        return codes, _ended(x)
    code = lasso(
        x,
        dictionary,
        1.0 if how.alpha is None else how.alpha,
        nonnegative=how.positive,
        max_iter=how.max_iter,
        init=start,
        backend=how.backend,
    )
    assert code.codes is not None
    return code.codes, code.status


def _by_omp(x: Tensor, dictionary: Tensor, how: Request) -> tuple[Tensor, Tensor]:
    """OMP that chooses by |<d_j, r>| of the atoms as they are, where ``sparsedef.omp`` scales them.

    The kernels of the ``"omp"`` rule make no use of norms being 1.
    """
    n_nonzero = _n_nonzero(dictionary, how)
    options = {"n_nonzero": n_nonzero, "selection": "omp", "nonnegative": False}
    problem = Problem.of("omp", x, dictionary, **options, limits=False, max_memory=0)
    chosen = select_backend(problem, how.backend)
    tol = x.new_zeros(len(x))
    values, indices, _, _, status = ops.omp(
        x.contiguous(), dictionary.contiguous(), tol, None, n_nonzero, "omp", False, 0, chosen
    )
    return spread(indices, values, status, len(dictionary)), status


def _by_least_angle(x: Tensor, dictionary: Tensor, how: Request) -> tuple[Tensor, Tensor]:
    return least_angle(x, dictionary, _n_nonzero(dictionary, how)), _ended(x)


def _by_threshold(x: Tensor, dictionary: Tensor, how: Request) -> tuple[Tensor, Tensor]:
    """Soft threshold of the correlations: the LASSO's code if the atoms were orthonormal."""
    correlations = how.correlations
    if correlations is None:
        with as_given(x.device):
            correlations = x @ dictionary.mT
    alpha = check_per_signal(how.who, "alpha", 1.0 if how.alpha is None else how.alpha, x)
    return soft_threshold(correlations, alpha[:, None], how.positive), _ended(x)


def _n_nonzero(dictionary: Tensor, how: Request) -> int:
    n_atoms, n_features = dictionary.shape
    if how.n_nonzero is None:
        return min(max(n_features // 10, 1), n_atoms)
    return clip_n_nonzero(how.who, how.n_nonzero, dictionary)


def _ended(x: Tensor) -> Tensor:
    return torch.full((len(x),), int(Status.CONVERGED), dtype=torch.int32, device=x.device)


CODERS: dict[str, Callable[[Tensor, Tensor, Request], tuple[Tensor, Tensor]]] = {
    "lasso_lars": _by_lasso,
    "lasso_cd": _by_lasso,
    "lars": _by_least_angle,
    "omp": _by_omp,
    "threshold": _by_threshold,
}
