"""Batched LASSO in plain torch: the entry that all three algorithms share."""

from __future__ import annotations

from torch import Tensor

from sparsedef.backends.memory import budget, demand
from sparsedef.backends.reference.lasso_proximal import proximal
from sparsedef.backends.slots import Solved, lay_out
from sparsedef.backends.working_set import active_set


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
    """Solves the LASSO of each signal; see ``sparsedef.lasso`` for the problem and the shapes."""
    if algorithm == "active_set":
        return active_set(
            x, dictionary, alpha, ridge, init, nonnegative, tol, max_iter, slots, max_memory
        )
    n_atoms, n_features = dictionary.shape
    needed = 16 * n_atoms + 8 * n_features + 64  # codes, momentum, and a step's temporaries
    demand(needed, max_memory, x.dtype, dictionary.shape)
    n_rows = max(1, budget(max_memory, x, n_atoms) // needed)
    solved = Solved.empty(x, n_atoms, slots).outputs()
    for i in range(0, len(x), n_rows):
        part = slice(i, i + n_rows)
        finite = x[part].isfinite().all(dim=1)
        found = proximal(
            x[part].where(finite[:, None], 0),
            dictionary,
            alpha[part],
            ridge,
            None if init is None else init[part],
            nonnegative,
            tol,
            max_iter,
            accelerated=algorithm == "fista",
        )
        for whole, piece in zip(solved, lay_out(*found, tol, finite, slots), strict=True):
            whole[part] = piece
    return solved
