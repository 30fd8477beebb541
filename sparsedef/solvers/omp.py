"""Batched orthogonal matching pursuit."""

from __future__ import annotations

from torch import Tensor

from sparsedef import ops
from sparsedef.backends import Problem, select_backend
from sparsedef.solvers.checks import (
    HALF,
    check_choice,
    check_count,
    check_pair,
    check_per_signal,
    check_unit_norm,
    clip_n_nonzero,
)
from sparsedef.solvers.result import SparseCode, rescale, spread

SELECTIONS = ("omp", "ols")
LAYOUTS = ("dense", "compact")


def omp(
    x: Tensor,
    dictionary: Tensor,
    n_nonzero: int,
    *,
    tol: float | Tensor = 0.0,
    selection: str = "omp",
    layout: str = "dense",
    normalize: bool = False,
    backend: str = "auto",
) -> SparseCode:
    """Codes each signal with at most ``n_nonzero`` atoms, chosen greedily.

    Per signal: add the atom that ``selection`` names, fit all chosen atoms anew by least squares,
    and repeat until ``n_nonzero`` atoms are chosen, the squared residual is at most ``tol``, or
    the residual is at rounding level. Equal scores: the lowest index wins. On CPU with the C++
    backend the answer is the same to the bit whatever the batch, the number of threads and the
    instruction set.

    Args:
        x: Signals, ``[B, M]``, float32 or float64 (half precision is coded in float32).
        dictionary: Atoms of norm 1, ``[N, M]``, same dtype and device as ``x``. Zero atoms are
            never chosen.
        n_nonzero: Largest support size K; more than min(M, N) is lowered to it with a warning.
        tol: Stop a signal when its squared residual is at most this; a number or ``[B]``.
        selection: ``"omp"``: largest correlation with the residual. ``"ols"``: largest decrease of
            the residual (also known as ORMP; the rule of SPAMS's ``omp``).
        layout: ``"dense"`` codes ``[B, N]``, or ``"compact"`` indices and values ``[B, K]``.
        normalize: Scale the atoms to norm 1 for the choice; codes are for the atoms as given.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.

    Returns:
        ``SparseCode``; its ``gap`` is ``None``. A signal with NaN or infinity gets status
        ``NONFINITE`` and NaN outputs, its neighbours are untouched.

    Raises:
        TypeError: Not tensors, or the wrong or mixed dtypes.
        ValueError: A shape, a device, a range, an option or an atom's norm is wrong.
        BackendError: The forced backend cannot do this.

    Gradients: exact for ``x`` and ``dictionary`` while the support stays as it is, through codes
    (or values) and residual.

    Example:
        >>> import sparsedef, torch
        >>> code = sparsedef.omp(torch.tensor([[3.0, 0.0, 4.0]]), torch.eye(3), 1)
        >>> code.codes.tolist(), code.residual.tolist()
        ([[0.0, 0.0, 4.0]], [[3.0, 0.0, 0.0]])

    Source: Pati, Rezaiifar, Krishnaprasad, 1993; Chen, Billings, Luo, 1989 (``"ols"``).
    """
    tolerance = 1e-2 if isinstance(x, Tensor) and x.dtype in HALF else 1e-3
    x, dictionary = check_pair("omp", x, dictionary)
    check_choice("omp", "selection", selection, SELECTIONS)
    check_choice("omp", "layout", layout, LAYOUTS)
    n_nonzero = clip_n_nonzero("omp", check_count("omp", "n_nonzero", n_nonzero), dictionary)
    tol = check_per_signal("omp", "tol", tol, x)
    if normalize:
        # An atom of norm 0 stays what it is, inert.
        norms = dictionary.norm(dim=1)
        norms = norms.where(norms > 0, 1)
        atoms = dictionary / norms[:, None]
    else:
        check_unit_norm("omp", dictionary, tolerance)
        norms, atoms = None, dictionary
    problem = Problem.of("omp", x, dictionary, selection=selection, n_nonzero=n_nonzero)
    chosen = select_backend(problem, backend)
    values, indices, residual, n_iter, status = ops.omp(
        x.contiguous(),
        atoms.contiguous(),
        tol.contiguous(),
        None,
        n_nonzero,
        selection,
        False,
        0,
        chosen,
    )
    if norms is not None:
        values = rescale(values, norms[indices.clamp_min(0)])
    gradient = "implicit" if values.requires_grad else "none"
    if layout == "compact":
        return SparseCode(None, indices, values, residual, None, n_iter, status, chosen, gradient)
    codes = spread(indices, values, status, dictionary.shape[0])
    return SparseCode(codes, None, None, residual, None, n_iter, status, chosen, gradient)
