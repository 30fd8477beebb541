"""Batched LASSO with a certificate for every signal."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.backends.slots import pack
from sparsedef.ops.library import is_traced
from sparsedef.solvers.alpha import largest_alpha
from sparsedef.solvers.checks import (
    check_choice,
    check_count,
    check_pair,
    check_per_signal,
)
from sparsedef.solvers.lasso_inputs import (
    ALGORITHMS,
    Inputs,
    Outputs,
    absorb_weights,
    check_init,
    check_l2,
    check_settings,
    check_weights,
)
from sparsedef.solvers.lasso_repair import trim
from sparsedef.solvers.lasso_search import solve_to_support
from sparsedef.solvers.lasso_solve import plan, solve
from sparsedef.solvers.omp import LAYOUTS
from sparsedef.solvers.result import SparseCode, rescale

GRADIENTS = ("auto", "implicit", "unrolled")


def lasso(
    x: Tensor,
    dictionary: Tensor,
    alpha: float | Tensor | None = None,
    *,
    relative: bool = False,
    target_l0: int | None = None,
    weights: Tensor | None = None,
    l2: float | Tensor = 0.0,
    algorithm: str = "auto",
    nonnegative: bool = False,
    tol: float | None = None,
    max_iter: int | None = None,
    init: Tensor | None = None,
    layout: str = "dense",
    gradient: str = "auto",
    max_memory: int | None = None,
    allow_tf32: bool = False,
    backend: str = "auto",
) -> SparseCode:
    """Finds each signal's LASSO code, with a duality gap that proves how good it is.

    Per signal: min_z 1/2 ||x - z @ dictionary||^2 + alpha sum_j w_j |z_j| + l2/2 ||z||^2, with
    w = 1 unless ``weights`` are given, and z >= 0 on request. There is no 1/M and no 1/B. A
    signal's answer does not depend on the rest of its batch.

    Args:
        x: Signals, ``[B, M]``, float32 or float64 (half precision is coded in float32).
        dictionary: Atoms, ``[N, M]``, same dtype and device as ``x``; any norms, a zero atom gets
            code 0.
        alpha: Penalty, at least 0: a number or ``[B]``. At 0 the gap can certify nothing but a
            residual of 0. Either this or ``target_l0``.
        relative: Take ``alpha`` as a fraction of each signal's :func:`sparsedef.alpha_max`.
        target_l0: Choose each signal's alpha so that its code has this many nonzeros: the smallest
            alpha tried whose code has at most as many. The search halves alpha from ``alpha_max``
            (1e-4 of it is the least) until the code has too many, then the bracket, and ends with
            the wanted number or a bracket of 1e-3 of alpha. It waits for the device at each trial.
        weights: Positive factors w of the atoms' penalties, ``[N]``.
        l2: Elastic net: weight of 1/2 ||z||^2, at least 0, a number or a tensor of one.
        algorithm: ``"active_set"`` (exact on growing working sets; what ``"auto"`` takes),
            ``"ista"`` or ``"fista"`` (proximal gradient; FISTA with adaptive restart).
        nonnegative: Demand z >= 0.
        tol: A signal is done when its relative duality gap is at most this. ``None``: 1e-5 in
            float32, 1e-10 in float64. 0: exactly ``max_iter`` steps of ISTA or FISTA;
            with dense codes Triton's wait for nothing: ``torch.cuda.graph`` can capture them.
        max_iter: Most steps (ISTA, FISTA: 10,000) or rounds of growth (active set: 200).
        init: Codes to start from, ``[B, N]``.
        layout: ``"dense"`` codes ``[B, N]``, or ``"compact"`` indices and values ``[B, K]`` with
            K the largest support of the batch (min(M, N) while tracing). Finding K waits for the
            device. An active set then never holds B x N numbers; ISTA and FISTA do.
        gradient: ``"implicit"`` (of the solution: one small linear solve per signal, memory flat
            in the iterations), ``"unrolled"`` (of ISTA or FISTA: exactly ``max_iter`` recorded
            steps, whatever ``tol``), or ``"auto"``:
            implicit for signals whose gap is certified, unrolled for those that ISTA or FISTA left
            short of it. An active set cannot be unrolled; when a signal that needs a gradient is
            not certified, it warns.
        max_memory: Most bytes that the forward pass may take beside its inputs and outputs
            (recorded steps and ``target_l0``'s outputs not counted). With ``l2``, a support larger
            than min(M, N) that does not fit ends as ``MAX_ITER``. ``None``: the backend chooses.
        allow_tf32: Let the products of ISTA and FISTA steps on CUDA round to TF32; the gap never
            does.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.

    Returns:
        ``SparseCode``; ``gap`` is relative to ``||x||^2 / 2``, ``status`` is ``CONVERGED`` where
        ``gap <= tol`` and ``MAX_ITER`` elsewhere, ``alpha`` the penalty of each signal. A signal
        with NaN or infinity gets status ``NONFINITE`` and NaN outputs, its neighbours are
        untouched.

    Raises:
        TypeError: Not tensors, or the wrong or mixed dtypes.
        ValueError: A shape, a device, a range or an option is wrong.
        BackendError: The forced backend cannot do this.

    Gradients: for ``x``, ``dictionary``, ``alpha``, ``weights`` and ``l2``, through codes (or
    values) and residual. With ``relative`` also through ``alpha_max``; what ``target_l0`` chose is
    a constant.

    Example:
        >>> import sparsedef, torch
        >>> code = sparsedef.lasso(torch.tensor([[3.0, 0.5, -2.0]]), torch.eye(3), alpha=1.0)
        >>> code.codes.tolist(), code.is_converged.tolist()
        ([[2.0, 0.0, -1.0]], [True])

    Source: Tibshirani, 1996; Zou, Hastie, 2005 (``l2``); Zou, 2006 (``weights``); the
    certificate: Boyd et al., 2007, section III; the implicit gradient: Mairal, Bach, Ponce,
    "Task-driven dictionary learning", 2012, section 3.
    """
    x, dictionary = check_pair("lasso", x, dictionary)
    check_choice("lasso", "algorithm", algorithm, ("auto", *ALGORITHMS))
    check_choice("lasso", "layout", layout, LAYOUTS)
    check_choice("lasso", "gradient", gradient, GRADIENTS)
    max_iter = None if max_iter is None else check_count("lasso", "max_iter", max_iter)
    memory = 0 if max_memory is None else check_count("lasso", "max_memory", max_memory)
    settings = check_settings(x, algorithm, nonnegative, tol, max_iter, allow_tf32)
    weights, l2 = check_weights("lasso", weights, dictionary), check_l2("lasso", l2, x)
    start = None if init is None else check_init(init, x, dictionary, nonnegative)
    if target_l0 is None:
        penalty = _penalty(alpha, relative, x, dictionary, nonnegative, weights)
    else:
        target_l0 = check_count("lasso", "target_l0", target_l0)
        _check_target(alpha, relative, init, settings.tol, gradient)
        penalty = x.new_zeros(x.shape[0])
    inputs = absorb_weights(Inputs(x, dictionary, penalty, None, start), weights, l2).contiguous()
    how = plan(inputs, settings, layout, gradient, memory, backend)
    if target_l0 is None:
        outputs, kind = solve(inputs, settings, how)
    else:
        outputs, kind, penalty = solve_to_support(inputs, settings, how, target_l0)
    return _to_result(outputs, penalty, weights, layout, how.backend, kind)


def _penalty(
    alpha: float | Tensor | None,
    relative: bool,
    x: Tensor,
    dictionary: Tensor,
    nonnegative: bool,
    weights: Tensor | None,
) -> Tensor:
    """Each signal's absolute alpha, ``[B]``."""
    if alpha is None:
        raise ValueError(
            "lasso: alpha must be given, or target_l0, got neither"
            " (alpha=0.1, relative=True suits most signals)"
        )
    each = check_per_signal("lasso", "alpha", alpha, x)
    if not relative:
        return each
    return each * largest_alpha(x, dictionary, nonnegative, weights)[0]


def _check_target(alpha: object, relative: bool, init: object, tol: float, gradient: str) -> None:
    """Refuses what makes no sense beside ``target_l0``."""
    if alpha is not None or relative:
        raise ValueError("lasso: target_l0 chooses alpha: give one of them (and not relative)")
    if init is not None:
        raise ValueError("lasso: init cannot be used with target_l0, which brings its own")
    if tol == 0 or gradient == "unrolled":
        raise ValueError(
            "lasso: target_l0 needs certified codes: tol > 0, and a gradient that is not unrolled"
        )
    if torch.compiler.is_compiling():
        raise ValueError(
            "lasso: target_l0 cannot be traced (search outside, and pass the alpha it returns)"
        )


def _to_result(
    outputs: Outputs,
    alpha: Tensor,
    weights: Tensor | None,
    layout: str,
    backend: str,
    gradient: str,
) -> SparseCode:
    values, indices, residual, gap, n_iter, status = outputs
    rest = (residual, gap, n_iter, status, backend, gradient, alpha)
    if layout == "dense":
        return SparseCode(
            values if weights is None else rescale(values, weights), None, None, *rest
        )
    indices, values = trim(outputs) if indices.shape[1] else compact(values)
    if weights is not None:
        values = rescale(values, weights[indices.clamp_min(0)])
    return SparseCode(None, indices, values, *rest)


def compact(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Moves dense codes into slots, as many as the largest support; differentiable."""
    if is_traced(codes):
        width = codes.shape[1]
    else:
        width = int(torch.count_nonzero(codes, dim=1).amax()) if len(codes) else 0
    indices, values, _ = pack(codes.detach(), width)
    if codes.requires_grad:
        values = codes.gather(1, indices.clamp_min(0)).where(indices >= 0, 0)
    return indices, values
