"""Batched LASSO in plain torch: the entry that all three algorithms share."""

from __future__ import annotations

from torch import Tensor

from sparsedef.backends.reference.lasso_proximal import proximal
from sparsedef.backends.slots import lay_out
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
    finite = x.isfinite().all(dim=1)
    signals = x.where(finite[:, None], 0)
    if algorithm == "active_set":
        solved = active_set(signals, dictionary, alpha, init, nonnegative, tol, max_iter)
    else:
        is_fast = algorithm == "fista"
        solved = proximal(
            signals, dictionary, alpha, init, nonnegative, tol, max_iter, accelerated=is_fast
        )
    return lay_out(*solved, tol, finite, slots)
