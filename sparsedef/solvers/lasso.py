"""Batched LASSO with a certificate for every signal."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef import ops
from sparsedef.backends import Problem, select_backend
from sparsedef.backends.slots import pack
from sparsedef.solvers.checks import (
    check_choice,
    check_count,
    check_pair,
    check_per_signal,
    check_tensor,
)
from sparsedef.solvers.lasso_repair import Outputs, refit_overflow, unroll, unroll_uncertified
from sparsedef.solvers.omp import LAYOUTS
from sparsedef.solvers.result import SparseCode

ALGORITHMS = ("active_set", "ista", "fista")
GRADIENTS = ("auto", "implicit", "unrolled")
DEFAULT_TOL = {torch.float32: 1e-5, torch.float64: 1e-10}
DEFAULT_MAX_ITER = {"active_set": 200, "ista": 10_000, "fista": 10_000}


def lasso(
    x: Tensor,
    dictionary: Tensor,
    alpha: float | Tensor,
    *,
    algorithm: str = "auto",
    nonnegative: bool = False,
    tol: float | None = None,
    max_iter: int | None = None,
    init: Tensor | None = None,
    layout: str = "dense",
    gradient: str = "auto",
    backend: str = "auto",
) -> SparseCode:
    """Finds each signal's LASSO code, with a duality gap that proves how good it is.

    Per signal: min_z 1/2 ||x - z @ dictionary||^2 + alpha ||z||_1, with z >= 0 on request. There
    is no 1/M and no 1/B. A signal's answer does not depend on the rest of its batch.

    Args:
        x: Signals, ``[B, M]``, float32 or float64 (half precision is coded in float32).
        dictionary: Atoms, ``[N, M]``, same dtype and device as ``x``; any norms, a zero atom gets
            code 0.
        alpha: Penalty, at least 0: a number or ``[B]``. At 0 the gap can certify nothing but a
            residual of 0.
        algorithm: ``"active_set"`` (exact on growing working sets; what ``"auto"`` takes),
            ``"ista"`` or ``"fista"`` (proximal gradient; FISTA with adaptive restart).
        nonnegative: Demand z >= 0.
        tol: A signal is done when its relative duality gap is at most this. ``None``: 1e-5 in
            float32, 1e-10 in float64. 0: exactly ``max_iter`` steps of ISTA or FISTA.
        max_iter: Most steps (ISTA, FISTA: 10,000) or rounds of growth (active set: 200).
        init: Codes to start from, ``[B, N]``.
        layout: ``"dense"`` codes ``[B, N]``, or ``"compact"`` indices and values ``[B, K]`` with
            K the largest support of the batch (min(M, N) while tracing). Finding K waits for the
            device.
        gradient: ``"implicit"`` (of the solution: one small linear solve per signal, memory flat
            in the iterations), ``"unrolled"`` (of ISTA or FISTA: exactly ``max_iter`` recorded
            steps, whatever ``tol``), or ``"auto"``:
            implicit for signals whose gap is certified, unrolled for those that ISTA or FISTA left
            short of it. An active set cannot be unrolled; when a signal that needs a gradient is
            not certified, it warns.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.

    Returns:
        ``SparseCode``; ``gap`` is relative to ``||x||^2 / 2``, ``status`` is ``CONVERGED`` where
        ``gap <= tol`` and ``MAX_ITER`` elsewhere. A signal with NaN or infinity gets status
        ``NONFINITE`` and NaN outputs, its neighbours are untouched.

    Raises:
        TypeError: Not tensors, or the wrong or mixed dtypes.
        ValueError: A shape, a device, a range or an option is wrong.
        BackendError: The forced backend cannot do this.

    Gradients: for ``x``, ``dictionary`` and ``alpha``, through codes (or values) and residual.

    Example:
        >>> import sparsedef, torch
        >>> code = sparsedef.lasso(torch.tensor([[3.0, 0.5, -2.0]]), torch.eye(3), alpha=1.0)
        >>> code.codes.tolist(), code.is_converged.tolist()
        ([[2.0, 0.0, -1.0]], [True])

    Source: Tibshirani, 1996; the certificate: Boyd et al., 2007, section III; the implicit
    gradient: Mairal, Bach, Ponce, "Task-driven dictionary learning", 2012, section 3.
    """
    x, dictionary = check_pair("lasso", x, dictionary)
    check_choice("lasso", "algorithm", algorithm, ("auto", *ALGORITHMS))
    check_choice("lasso", "layout", layout, LAYOUTS)
    check_choice("lasso", "gradient", gradient, GRADIENTS)
    algorithm = "active_set" if algorithm == "auto" else algorithm
    alpha = check_per_signal("lasso", "alpha", alpha, x)
    tol = _check_tol(tol, x.dtype, algorithm)
    if max_iter is None:
        max_iter = DEFAULT_MAX_ITER[algorithm]
    max_iter = check_count("lasso", "max_iter", max_iter)
    start = None if init is None else _check_init(init, x, dictionary, nonnegative)
    is_unrolled = _is_unrolled(gradient, algorithm, tol, (x, dictionary, alpha, start))

    slots = min(dictionary.shape) if layout == "compact" and algorithm == "active_set" else 0
    options = {"algorithm": algorithm, "nonnegative": nonnegative, "max_iter": max_iter}
    problem = Problem.of("lasso", x, dictionary, **options)
    chosen = select_backend(problem, "reference" if is_unrolled else backend)
    settings = (nonnegative, tol, max_iter, algorithm)
    inputs = (
        x.contiguous(),
        dictionary.contiguous(),
        alpha.contiguous(),
        None if start is None else start.contiguous(),
    )
    if is_unrolled:
        return _to_result(unroll(inputs, settings), layout, chosen, "unrolled")
    outputs = ops.lasso(*inputs[:3], None, inputs[3], *settings, False, slots, 0, chosen)
    kind = "implicit" if outputs[0].requires_grad else "none"
    if not torch.compiler.is_compiling():
        if slots:
            outputs = refit_overflow(inputs, settings, chosen, outputs)
        if kind == "implicit" and gradient == "auto":
            outputs, kind = unroll_uncertified(inputs, settings, outputs)
    return _to_result(outputs, layout, chosen, kind)


def _check_tol(tol: float | None, dtype: torch.dtype, algorithm: str) -> float:
    if tol is None:
        return DEFAULT_TOL[dtype]
    if not tol >= 0:
        raise ValueError(f"lasso: tol must be >= 0, got {tol}")
    if tol == 0 and algorithm == "active_set":
        raise ValueError(
            "lasso: tol=0 means a fixed number of ISTA or FISTA steps; an active set needs tol > 0"
            " (None is a good choice for the dtype)"
        )
    return float(tol)


def _check_init(init: object, x: Tensor, dictionary: Tensor, nonnegative: bool) -> Tensor:
    codes = check_tensor("lasso", "init", init)
    shape = (x.shape[0], dictionary.shape[0])
    if codes.shape != shape:
        raise ValueError(f"lasso: init must be {list(shape)}, got {list(codes.shape)}")
    if codes.device != x.device:
        raise ValueError(f"lasso: init must be on {x.device} as x is, got {codes.device}")
    if not torch.compiler.is_compiling():
        if not codes.isfinite().all():
            raise ValueError("lasso: init must be finite, got NaN or infinity")
        if nonnegative and (codes < 0).any():
            raise ValueError("lasso: init must be >= 0 when nonnegative=True (init.clamp_min(0))")
    return codes.to(x.dtype)


def _is_unrolled(
    gradient: str, algorithm: str, tol: float, inputs: tuple[Tensor | None, ...]
) -> bool:
    if gradient == "unrolled" and algorithm == "active_set":
        raise ValueError(
            "lasso: gradient='unrolled' needs algorithm='ista' or 'fista', got 'active_set'"
        )
    wants = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)
    return (
        wants
        and algorithm != "active_set"
        and (gradient == "unrolled" or (gradient == "auto" and tol == 0))
    )


def _to_result(outputs: Outputs, layout: str, backend: str, gradient: str) -> SparseCode:
    values, indices, residual, gap, n_iter, status = outputs
    rest = (residual, gap, n_iter, status, backend, gradient)
    if layout == "dense":
        return SparseCode(values, None, None, *rest)
    if indices.shape[1] == 0:
        indices, values = _compact(values)
    elif not torch.compiler.is_compiling():
        width = int((indices >= 0).sum(dim=1).amax()) if len(indices) else 0
        indices, values = indices[:, :width].contiguous(), values[:, :width].contiguous()
    return SparseCode(None, indices, values, *rest)


def _compact(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Moves dense codes (ISTA, FISTA) into slots; differentiable."""
    if torch.compiler.is_compiling():
        width = codes.shape[1]
    else:
        width = int(torch.count_nonzero(codes, dim=1).amax()) if len(codes) else 0
    indices, values, _ = pack(codes.detach(), width)
    if codes.requires_grad:
        values = codes.gather(1, indices.clamp_min(0)).where(indices >= 0, 0)
    return indices, values
