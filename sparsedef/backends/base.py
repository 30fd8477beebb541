"""What a backend is: a name, a few functions, and an honest answer to "why can you not?"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor

# Of gradients and of learning: not every backend has them.
HELPERS = ("support_solve", "patch_support_solve", "code_statistics", "update_atoms")
OPS = ("lasso", "omp", "patch_omp", *HELPERS)


class Status(IntEnum):
    """How one signal's computation ended (the ``status`` of a result, per signal).

    ``CONVERGED``: the answer is what was asked for. ``MAX_ITER``: the budget of iterations ran
    out before the tolerance was met; see ``gap``. ``EXHAUSTED``: a pursuit ran out of linearly
    independent atoms. ``NONFINITE``: the signal holds NaN or infinity; its outputs are NaN.
    ``OVERFLOW``: the support does not fit the compact slots (only under ``torch.compile``; in
    eager mode such signals are coded again with more slots).
    """

    CONVERGED = 0
    MAX_ITER = 1
    EXHAUSTED = 2
    # From here on there is no answer at all.
    NONFINITE = 3
    OVERFLOW = 4


class BackendError(RuntimeError):
    """No backend, or not the forced one, can do what was asked; the message has the reasons."""


@dataclass(frozen=True)
class Problem:
    """What the choice of a backend may depend on: the op, its sizes, and its options."""

    op: str
    n_signals: int
    n_features: int
    n_atoms: int
    dtype: torch.dtype
    device: torch.device
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, op: str, x: Tensor, dictionary: Tensor, **options: Any) -> Problem:
        """Describes the problem of coding ``x`` ``[B, M]`` over ``dictionary`` ``[N, M]``."""
        (n_signals, n_features), n_atoms = x.shape, dictionary.shape[0]
        return cls(op, n_signals, n_features, n_atoms, x.dtype, x.device, options)


Reasons = Callable[[Problem], list[str]]


@dataclass(frozen=True)
class Backend:
    """One entry of the backend table.

    Args:
        name: What users pass as ``backend=`` and find in a result.
        functions: The op's name to the function that computes it (see ``docs/backends.md``).
        reasons: Plain sentences that say why this backend cannot serve a problem; empty if it can.
        broken: Why the backend could not be loaded at all; ``None`` when it loaded.
    """

    name: str
    functions: Mapping[str, Callable[..., Any]]
    reasons: Reasons
    broken: str | None = None

    def why_not(self, problem: Problem) -> list[str]:
        """Says why this backend cannot serve ``problem``; an empty list means that it can."""
        if self.broken is not None:
            return [self.broken]
        if problem.op not in self.functions:
            return [f"it has no kernel for {problem.op}"]
        return self.reasons(problem)
