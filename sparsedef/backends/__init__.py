"""The table of backends, in the order in which the automatic choice tries them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from sparsedef.backends.base import HELPERS, OPS, Backend, BackendError, Problem, Status

__all__ = ["BACKENDS", "OPS", "Backend", "BackendError", "Problem", "Status", "select_backend"]

ORDER = ("cuda", "triton", "cpp", "reference")
ENVIRONMENT = "SPARSEDEF_BACKEND"


def _load(name: str) -> Backend:
    """Imports one backend; a failure is kept as its reason, so that nothing is swallowed."""
    try:
        backend = import_module(f"sparsedef.backends.{name}").BACKEND
    except Exception as error:
        return Backend(name, {}, lambda problem: [], broken=f"it failed to load: {error!r}")
    assert isinstance(backend, Backend)
    return backend


BACKENDS: dict[str, Backend] = {name: _load(name) for name in ORDER}
_warned: set[str] = set()


def select_backend(problem: Problem, requested: str = "auto") -> str:
    """Chooses who computes ``problem`` and returns the backend's name.

    Order of precedence: ``requested`` unless it is ``"auto"``, then the environment variable
    ``SPARSEDEF_BACKEND``, then the first backend of the table that has no reason against it.

    Raises:
        ValueError: ``requested`` is not a backend's name.
        BackendError: The named backend, or every backend, cannot serve; with all reasons.
    """
    if requested == "auto":
        requested = os.environ.get(ENVIRONMENT, "auto")
        if problem.op in HELPERS and problem.op not in _functions_of(requested):
            requested = "auto"  # no user asked this backend for a gradient
    if requested == "auto":
        return _first_able(problem)
    if requested not in BACKENDS:
        raise ValueError(
            f"{problem.op}: backend must be 'auto' or one of {sorted(BACKENDS)}, got {requested!r}"
        )
    reasons = BACKENDS[requested].why_not(problem)
    if reasons:
        raise BackendError(
            f"{problem.op}: backend {requested!r} cannot serve: {'; '.join(reasons)} "
            "(backend='auto' chooses one that can)"
        )
    return requested


def _functions_of(name: str) -> Mapping[str, Callable[..., Any]]:
    return BACKENDS[name].functions if name in BACKENDS else {}


def _first_able(problem: Problem) -> str:
    collected = []
    for name in ORDER:
        reasons = BACKENDS[name].why_not(problem)
        if not reasons:
            return name
        broken = BACKENDS[name].broken
        if broken is not None and name not in _warned:
            _warned.add(name)
            warnings.warn(
                f"sparsedef: backend {name!r} is broken and passed over: {broken}", stacklevel=4
            )
        collected.append(f"{name}: {'; '.join(reasons)}")
    raise BackendError(f"{problem.op}: no backend can serve. " + " | ".join(collected))
