"""One pass over a batch of LASSO problems: the op, the repairs after it, the kind of gradient."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from sparsedef import ops
from sparsedef.backends import select_backend
from sparsedef.ops.library import is_captured, is_traced
from sparsedef.solvers.lasso_inputs import Inputs, Outputs, Settings, describe
from sparsedef.solvers.lasso_repair import refit_overflow, unroll, unroll_uncertified

_DENSE_NUMBERS = 1 << 23  # in a [B, N] piece of work, without a max_memory


class Plan(NamedTuple):
    """How a batch is solved and differentiated.

    Attributes:
        slots: 0 for dense outputs, else how many.
        max_memory: Bytes of workspace; 0: no bound.
        gradient: What the caller asked for.
        is_unrolled: Whether the steps are recorded.
        backend: Who computes.
    """

    slots: int
    max_memory: int
    gradient: str
    is_unrolled: bool
    backend: str


def plan(
    inputs: Inputs, settings: Settings, layout: str, gradient: str, max_memory: int, backend: str
) -> Plan:
    """Chooses the backend and what backward will do."""
    is_active_set = settings.algorithm == "active_set"
    if gradient == "unrolled" and is_active_set:
        raise ValueError(
            "lasso: gradient='unrolled' needs algorithm='ista' or 'fista', got 'active_set'"
        )
    is_unrolled = (
        inputs.wants_gradient()
        and not is_active_set
        and (gradient == "unrolled" or (gradient == "auto" and settings.tol == 0))
    )
    slots = min(inputs.dictionary.shape) if layout == "compact" and is_active_set else 0
    chosen = select_backend(describe(inputs, settings), "reference" if is_unrolled else backend)
    is_waiting = settings.tol > 0 or layout == "compact" or chosen == "reference"
    if is_waiting and is_captured(inputs.x):
        raise ValueError(
            "lasso: while a CUDA graph is captured nothing may wait for the device: pass tol=0 with"
            " algorithm='ista' or 'fista', layout='dense', and no gradient; got"
            f" tol={settings.tol:g}, layout={layout!r}, backend {chosen!r}"
            f"{' to record the steps' if is_unrolled else ''}"
        )
    return Plan(slots, max_memory, gradient, is_unrolled, chosen)


def solve(inputs: Inputs, settings: Settings, how: Plan) -> tuple[Outputs, str]:
    """Solves, solves again what did not fit its slots, and unrolls what is not certified.

    Returns:
        The op's outputs, and the kind of their gradient.
    """
    if how.is_unrolled:
        return unroll(inputs, settings), "unrolled"
    outputs = ops.lasso(*inputs, *settings, how.slots, how.max_memory, how.backend)
    kind = "implicit" if outputs[0].requires_grad else "none"
    if not is_traced(inputs.x):
        if how.slots:
            outputs = refit_overflow(inputs, settings, outputs, how.max_memory, how.backend)
        if kind == "implicit" and how.gradient == "auto":
            outputs, kind = unroll_uncertified(inputs, settings, outputs)
    return outputs, kind


def dense_chunks(x: Tensor, n_atoms: int, max_memory: int) -> tuple[list[slice], int]:
    """Cuts a batch into parts whose dense codes fit the memory, and says what is left for the op.

    Warm starts are dense codes; half of ``max_memory`` may go to them.
    """
    n_bytes = 8 * n_atoms * x.element_size()
    most = max_memory // 2 if max_memory else 8 * _DENSE_NUMBERS * x.element_size()
    n_rows = max(1, min(len(x), most // n_bytes))
    parts = [slice(i, i + n_rows) for i in range(0, max(len(x), 1), n_rows)]
    left = max(1, max_memory - n_rows * n_bytes) if max_memory else 0
    return parts, left
