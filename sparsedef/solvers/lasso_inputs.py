"""What a LASSO is asked for: its checked tensors, its settings, and the change of variables."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sparsedef.backends import Problem
from sparsedef.ops.library import is_traced
from sparsedef.solvers.checks import check_tensor

Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]  # of the op

ALGORITHMS = ("active_set", "ista", "fista")
DEFAULT_TOL = {torch.float32: 1e-5, torch.float64: 1e-10}
DEFAULT_MAX_ITER = {"active_set": 200, "ista": 10_000, "fista": 10_000}


class Inputs(NamedTuple):
    """The tensors of the LASSO op, in its order."""

    x: Tensor  # [B, M]
    dictionary: Tensor  # [N, M]
    alpha: Tensor  # [B]
    ridge: Tensor | None  # [N]
    init: Tensor | None  # [B, N]

    def of_rows(self, rows: Tensor | slice) -> Inputs:
        """Keeps some of the signals."""
        init = None if self.init is None else self.init[rows]
        return self._replace(x=self.x[rows], alpha=self.alpha[rows], init=init)

    def contiguous(self) -> Inputs:
        """Lays every tensor out row by row, as the backends want them."""
        return Inputs(*(None if t is None else t.contiguous() for t in self))  # type: ignore[arg-type]

    def wants_gradient(self) -> bool:
        """Says whether autograd is to record this call."""
        return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in self)


class Settings(NamedTuple):
    """The options of the LASSO op that follow its tensors, in its order."""

    nonnegative: bool
    tol: float
    max_iter: int
    algorithm: str
    allow_tf32: bool


def describe(inputs: Inputs, settings: Settings) -> Problem:
    """What the choice of a backend depends on."""
    return Problem.of(
        "lasso",
        inputs.x,
        inputs.dictionary,
        algorithm=settings.algorithm,
        nonnegative=settings.nonnegative,
        max_iter=settings.max_iter,
        ridge=inputs.ridge is not None,
    )


def absorb_weights(inputs: Inputs, weights: Tensor | None, l2: float | Tensor) -> Inputs:
    """Writes weights and l2 as a LASSO with a ridge; all of it differentiable.

    With z'_j = w_j z_j, d'_j = d_j / w_j and ridge_j = l2 / w_j^2 the penalty
    alpha sum_j w_j |z_j| + l2/2 ||z||^2 becomes alpha ||z'||_1 + 1/2 sum_j ridge_j z'_j^2, and
    the objective, so the gap as well, is the same number. Codes are divided by w afterwards.
    """
    n_atoms = inputs.dictionary.shape[0]
    ridge = None
    if isinstance(l2, Tensor):
        ridge = l2.expand(n_atoms)
    elif l2 != 0:
        ridge = inputs.dictionary.new_full((n_atoms,), l2)
    if weights is None:
        return inputs._replace(ridge=ridge)
    return inputs._replace(
        dictionary=inputs.dictionary / weights[:, None],
        ridge=None if ridge is None else ridge / weights.square(),
        init=None if inputs.init is None else inputs.init * weights,
    )


def check_settings(
    x: Tensor,
    algorithm: str,
    nonnegative: bool,
    tol: float | None,
    max_iter: int | None,
    allow_tf32: bool,
) -> Settings:
    """Fills in what was left to us; ``algorithm`` is a known word, ``max_iter`` a count."""
    algorithm = "active_set" if algorithm == "auto" else algorithm
    if tol is None:
        tol = DEFAULT_TOL[x.dtype]
    if not tol >= 0:
        raise ValueError(f"lasso: tol must be >= 0, got {tol}")
    if tol == 0 and algorithm == "active_set":
        raise ValueError(
            "lasso: tol=0 means a fixed number of ISTA or FISTA steps; an active set needs tol > 0"
            " (None is a good choice for the dtype)"
        )
    if max_iter is None:
        max_iter = DEFAULT_MAX_ITER[algorithm]
    return Settings(bool(nonnegative), float(tol), max_iter, algorithm, bool(allow_tf32))


def check_init(init: object, x: Tensor, dictionary: Tensor, nonnegative: bool) -> Tensor:
    """Demands codes ``[B, N]`` that are allowed."""
    codes = check_tensor("lasso", "init", init)
    shape = (x.shape[0], dictionary.shape[0])
    if codes.shape != shape:
        raise ValueError(f"lasso: init must be {list(shape)}, got {list(codes.shape)}")
    if codes.device != x.device:
        raise ValueError(f"lasso: init must be on {x.device} as x is, got {codes.device}")
    if not is_traced(codes):
        if not codes.isfinite().all():
            raise ValueError("lasso: init must be finite, got NaN or infinity")
        if nonnegative and (codes < 0).any():
            raise ValueError("lasso: init must be >= 0 when nonnegative=True (init.clamp_min(0))")
    return codes.to(x.dtype)


def check_weights(who: str, weights: object, dictionary: Tensor) -> Tensor | None:
    """Demands a positive number per atom, ``[N]``; ``None`` stays ``None``."""
    if weights is None:
        return None
    each = check_tensor(who, "weights", weights)
    if each.shape != dictionary.shape[:1]:
        raise ValueError(
            f"{who}: weights must be [{dictionary.shape[0]}], one for each atom,"
            f" got {list(each.shape)}"
        )
    if each.device != dictionary.device:
        raise ValueError(
            f"{who}: weights must be on {dictionary.device} as x is, got {each.device}"
        )
    each = each.to(dictionary.dtype)
    if not is_traced(each):
        wrong = each.detach()[~((each > 0) & each.isfinite())]
        if len(wrong):
            raise ValueError(
                f"{who}: weights must be finite and > 0, got {float(wrong[0]):g} (an atom that must"
                " not be used can be left out of the dictionary)"
            )
    return each


def check_l2(who: str, l2: object, x: Tensor) -> float | Tensor:
    """Demands one finite number of at least 0."""
    if isinstance(l2, Tensor):
        if l2.ndim != 0:
            raise ValueError(f"{who}: l2 must be one number, got a tensor {list(l2.shape)}")
        if is_traced(l2):
            return l2.to(x)
    elif isinstance(l2, bool) or not isinstance(l2, (int, float)):
        raise TypeError(f"{who}: l2 must be a number or a tensor, got {type(l2).__name__}")
    if not 0 <= l2 < math.inf:
        raise ValueError(f"{who}: l2 must be finite and >= 0, got {float(l2):g}")
    return l2.to(x) if isinstance(l2, Tensor) else float(l2)
