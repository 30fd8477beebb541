"""ISTA and FISTA on fused Triton kernels: one launch a step in Gram form, two in direct form."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.backends.memory import budget, demand
from sparsedef.backends.slots import Solved, lay_out
from sparsedef.backends.triton.iterates import Atoms, Iterates, correlate
from sparsedef.backends.triton.launch import on_device
from sparsedef.backends.triton.tiles import SMALLEST_COLUMNS, Tile, precision, tile_for


def lasso(
    x: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    ridge: Tensor | None,
    init: Tensor | None,
    nonnegative: bool,
    tol: float,
    max_iter: int,
    algorithm: str,
    allow_tf32: bool,
    slots: int,
    max_memory: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Solves the LASSO of each signal by ``"ista"`` or ``"fista"`` with adaptive restart.

    Steps are counted as in the reference. With ``tol > 0`` the gap is looked at before the first
    step, then every ten: that look waits for the device once, to learn which signals leave the
    batch. ``tol = 0`` runs ``max_iter`` steps and never waits.

    For N > 2 M a step makes two products with the dictionary (the direct form), else one with its
    Gram matrix (the Gram form), if ``max_memory`` leaves room for that. Certificates always come
    from the residual.

    Args:
        x: ``[B, M]``, contiguous, float32 or float64.
        dictionary: ``[N, M]``, contiguous.
        alpha: ``[B]``.
        ridge: ``[N]`` or ``None`` for 0.
        init: ``[B, N]`` or ``None`` for zero codes.
        nonnegative: Whether z >= 0 is demanded.
        tol: Relative duality gap at which a signal is done.
        max_iter: Largest number of proximal steps.
        algorithm: ``"ista"`` or ``"fista"``.
        allow_tf32: Whether the products of the steps may round float32 to 10 bits. The gap stays
            true, but may then not come below some 1e-3.
        slots: Slots of the compact layout; 0 for dense codes.
        max_memory: Most bytes of workspace; 0 for a choice by the size of the problem.

    Returns:
        indices ``[B, slots]``, values ``[B, slots]`` (dense: ``[B, 0]``, ``[B, N]``), residual
        ``[B, M]``, relative gap ``[B]``, steps ``[B]``, status ``[B]``.

    Raises:
        ValueError: ``max_memory`` is too small for a single signal.
    """
    is_gram, most = _plan(x, dictionary, slots, max_memory)
    outputs = Solved.empty(x, len(dictionary), slots).outputs()
    tile = tile_for(min(len(x), most), x.shape[1], len(dictionary), x.dtype)
    with on_device(x):
        atoms = _prepare(dictionary, ridge, is_gram, tile, allow_tf32)
        for start in range(0, len(x), most):
            part = slice(start, start + most)
            finite = x[part].isfinite().all(dim=1)
            first = None if init is None else init[part]
            solved = _solve(
                x[part].where(finite[:, None], 0),
                atoms,
                alpha[part],
                first,
                nonnegative,
                tol,
                max_iter,
                algorithm == "fista",
            )
            for whole, piece in zip(outputs, lay_out(*solved, tol, finite, slots), strict=True):
                whole[part] = piece
            del solved
    return outputs


def _solve(
    x: Tensor,
    atoms: Atoms,
    alpha: Tensor,
    init: Tensor | None,
    nonnegative: bool,
    tol: float,
    max_iter: int,
    has_momentum: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return Iterates(x, atoms, alpha, nonnegative, has_momentum).run(init, tol, max_iter)


def _plan(x: Tensor, dictionary: Tensor, slots: int, max_memory: int) -> tuple[bool, int]:
    """Chooses the form (Gram or direct), and how many signals are at work at once."""
    n_atoms, n_features = dictionary.shape
    n_tiles = -(-n_atoms // SMALLEST_COLUMNS)
    signal = 4 * n_atoms + 6 * n_features + 12 * n_tiles + 32
    if slots:
        signal += n_atoms + 12 * slots  # what packing needs
    gram, gram_signal = n_atoms**2 + n_atoms, signal + 2 * n_atoms
    is_gram = n_atoms <= 2 * n_features
    if max_memory == 0:
        room = budget(0, x, n_atoms)
        return is_gram, max(1, room // (gram_signal if is_gram else signal))
    small = min(n_atoms, n_features)
    in_double = 8 // x.element_size()
    products = in_double * (small**2 * 3 + n_atoms * n_features)  # freed before the signals come
    demand(max(products, n_atoms + signal), max_memory, x.dtype, dictionary.shape)
    room = max_memory // x.element_size()
    if is_gram and room >= gram + gram_signal:
        return True, (room - gram) // gram_signal
    return False, (room - n_atoms) // signal


def _prepare(
    dictionary: Tensor, ridge: Tensor | None, is_gram: bool, tile: Tile, allow_tf32: bool
) -> Atoms:
    step = _step_size(dictionary, ridge)
    exact = precision(dictionary.dtype, allow_tf32=False)
    gram = correlate(dictionary, dictionary, tile, exact) if is_gram else None
    if ridge is None:
        ridge = dictionary.new_zeros(len(dictionary))
    elif gram is not None:
        gram.diagonal().add_(ridge)
    return Atoms(
        dictionary, gram, ridge, step, tile, exact, precision(dictionary.dtype, allow_tf32)
    )


def _step_size(dictionary: Tensor, ridge: Tensor | None) -> Tensor:
    """Returns 1 / L, ``[1]``, L at most a few millionths above sigma_max(D)^2 + max ridge.

    With A the smaller Gram matrix, ||A^p||_F^(1/p) is never below its largest eigenvalue and
    at most min(M, N)^(1/2p) times that; p = 2^20 takes 20 squarings, which a GPU does far faster
    than an eigenvalue decomposition, and without waiting. In float64, whatever the input, because
    torch may be set to multiply float32 with 10-bit mantissas.
    """
    small = dictionary if dictionary.shape[0] <= dictionary.shape[1] else dictionary.mT
    wide = small.double()
    power = wide @ wide.mT
    tiny = torch.finfo(torch.float64).tiny
    log_bound = power.new_zeros(())
    for k in range(20):
        norm = power.norm().clamp_min(tiny)
        log_bound = log_bound + norm.log() / 2**k
        power = power / norm
        power = power @ power
    bound = (log_bound + power.norm().clamp_min(tiny).log() / 2**20).exp()
    if ridge is not None:
        bound = bound + ridge.amax()
    margin = 1 + 8 * torch.finfo(dictionary.dtype).eps
    lowest = torch.finfo(dictionary.dtype).tiny
    step: Tensor = 1 / (bound * margin).clamp_min(lowest)
    return step.to(dictionary.dtype).reshape(1)
