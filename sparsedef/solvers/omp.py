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
    check_support_size,
    check_unit_norm,
)
from sparsedef.solvers.result import SparseCode, rescale, spread

SELECTIONS = ("omp", "ols")
LAYOUTS = ("dense", "compact")


def omp(
    x: Tensor,
    dictionary: Tensor,
    n_nonzero: int | Tensor,
    *,
    tol: float | Tensor = 0.0,
    selection: str = "omp",
    nonnegative: bool = False,
    layout: str = "dense",
    normalize: bool = False,
    max_memory: int | None = None,
    backend: str = "auto",
) -> SparseCode:
    """Codes each signal with at most ``n_nonzero`` atoms, chosen greedily.

    Per signal, in search of a small ||x - z @ dictionary||^2 with at most K nonzero codes z
    (z >= 0 on request): add the atom that ``selection`` names, fit all chosen atoms anew by least
    squares, and repeat until K atoms are chosen, the squared residual is at most ``tol``, or the
    residual is at rounding level. Equal scores: the lowest index wins. A signal's answer does not
    depend on the rest of its batch; on CPU with the C++ backend it is the same to the bit whatever
    the batch, the number of threads and the instruction set.

    Args:
        x: Signals, ``[B, M]``, float32 or float64 (half precision is coded in float32).
        dictionary: Atoms of norm 1, ``[N, M]``, same dtype and device as ``x``. Zero atoms are
            never chosen.
        n_nonzero: Largest support size: an int K >= 1, or one for each signal, ``[B]`` integers
            >= 0, of which K is the largest (reading it waits for the device; under
            ``torch.compile`` and ``torch.export`` K is min(M, N)). More than min(M, N) is lowered
            to it with a warning.
        tol: Stop a signal when its squared residual is at most this; a number or ``[B]``.
        selection: ``"omp"``: largest correlation with the residual. ``"ols"``: largest decrease of
            the residual (also known as ORMP; the rule of SPAMS's ``omp``).
        nonnegative: Demand codes > 0: only atoms with a positive correlation are chosen, and an
            atom whose code the fit would make 0 or less is dropped, free to come back later. A
            signal that still drops atoms after 3 K + 10 choices ends as ``MAX_ITER``.
        layout: ``"dense"`` codes ``[B, N]``, or ``"compact"`` indices and values ``[B, K]``, in
            the order in which the atoms were chosen.
        normalize: Scale the atoms to norm 1 for the choice; codes are for the atoms as given.
        max_memory: Most bytes that the forward pass may take beside its inputs and outputs; the
            answer does not depend on it. ``None``: the backend chooses.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.

    Returns:
        ``SparseCode``; its ``gap`` is ``None``, its ``n_iter`` counts the atoms of the support. A
        signal that ran out of independent atoms gets status ``EXHAUSTED``; one with NaN or infinity
        ``NONFINITE`` and NaN outputs, its neighbours are untouched.

    Raises:
        TypeError: Not tensors, or the wrong or mixed dtypes.
        ValueError: A shape, a device, a range, an option or an atom's norm is wrong, or
            ``max_memory`` is too small for one signal.
        BackendError: The forced backend cannot do this.

    Gradients: exact for ``x`` and ``dictionary`` while the support stays as it is, through codes
    (or values) and residual; ``nonnegative`` too, because all codes of a support are positive.

    Example:
        >>> import sparsedef, torch
        >>> code = sparsedef.omp(torch.tensor([[3.0, 0.0, -4.0]]), torch.eye(3), 1)
        >>> code.codes.tolist(), code.residual.tolist()
        ([[0.0, 0.0, -4.0]], [[3.0, 0.0, 0.0]])
        >>> sparsedef.omp(torch.tensor([[3.0, 0.0, -4.0]]), torch.eye(3), 2, nonnegative=True).codes
        tensor([[3., 0., 0.]])

    Source: Pati, Rezaiifar, Krishnaprasad, 1993; Chen, Billings, Luo, 1989 (``"ols"``); Bruckstein,
    Elad, Zibulevsky, 2008, and Nguyen, Soussen, Idier, Djermoune, 2019 (``nonnegative``).
    """
    tolerance = 1e-2 if isinstance(x, Tensor) and x.dtype in HALF else 1e-3
    x, dictionary = check_pair("omp", x, dictionary, reads_atoms=normalize)
    check_choice("omp", "selection", selection, SELECTIONS)
    check_choice("omp", "layout", layout, LAYOUTS)
    n_slots, limits = check_support_size("omp", n_nonzero, x, dictionary)
    memory = 0 if max_memory is None else check_count("omp", "max_memory", max_memory)
    tol = check_per_signal("omp", "tol", tol, x)
    if normalize:
        # An atom of norm 0 stays what it is, inert.
        norms = dictionary.norm(dim=1)
        norms = norms.where(norms > 0, 1)
        atoms = dictionary / norms[:, None]
    else:
        way_out = "pass normalize=True to select with unit atoms and get codes for these"
        check_unit_norm("omp", dictionary, tolerance, way_out)
        norms, atoms = None, dictionary
    options = {"n_nonzero": n_slots, "selection": selection, "nonnegative": nonnegative}
    problem = Problem.of(
        "omp", x, dictionary, **options, limits=limits is not None, max_memory=memory
    )
    chosen = select_backend(problem, backend)
    values, indices, residual, n_iter, status = ops.omp(
        x.contiguous(),
        atoms.contiguous(),
        tol.contiguous(),
        None if limits is None else limits.contiguous(),
        n_slots,
        selection,
        nonnegative,
        memory,
        chosen,
    )
    if norms is not None:
        values = rescale(values, norms[indices.clamp_min(0)])
    gradient = "implicit" if values.requires_grad else "none"
    if layout == "compact":
        return SparseCode(None, indices, values, residual, None, n_iter, status, chosen, gradient)
    codes = spread(indices, values, status, dictionary.shape[0])
    return SparseCode(codes, None, None, residual, None, n_iter, status, chosen, gradient)
