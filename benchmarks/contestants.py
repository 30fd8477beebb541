"""Who takes part: one shape for sparsedef and its peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from benchmarks.omp_problems import OmpProblem, PatchProblem
from benchmarks.problems import LassoProblem

Problem = LassoProblem | OmpProblem | PatchProblem
Call = Callable[[], Any]


@dataclass(frozen=True)
class Contestant:
    """One way to solve a problem.

    Attributes:
        name: ``library.function`` as shown in the tables.
        library: What has to be installed, as named on the package index.
        accepts: Says whether it has this problem's op, rule and constraint at all.
        prepare: ``(problem, setting, threads)`` to a call without arguments: what is timed, from
            the library's own array layout to its own result.
        to_answer: The result of that call to dense codes ``[B, N]``, or to images; not timed.
        settings: Accuracy settings, loose to tight; the first that passes the gate is timed.
        most_work: Largest ``problem.work`` that is timed: beyond, it would make everybody wait.
        missing: Why it cannot run here; ``None`` when it can.
    """

    name: str
    library: str
    accepts: Callable[[Problem], bool]
    prepare: Callable[[Any, Any, int], Call]
    to_answer: Callable[[Any, Problem], Tensor]
    settings: tuple[Any, ...] = (None,)
    most_work: float = float("inf")
    missing: str | None = None

    def why_not(self, problem: Problem) -> str | None:
        """The note that stands in place of a timing; ``None`` when it can be timed."""
        if self.missing is not None:
            return self.missing
        if problem.work > self.most_work:
            return "left out: over the preset size limit for it, not measured"
        return None


def in_float64(contestant: Contestant, most_work: float) -> Contestant:
    """The same contestant on data in float64; converting it is not timed."""

    def prepare(problem: Problem, setting: Any, threads: int) -> Call:
        assert not isinstance(problem, PatchProblem)
        x, dictionary = problem.x.double(), problem.dictionary.double()
        return contestant.prepare(replace(problem, x=x, dictionary=dictionary), setting, threads)

    name = f"{contestant.name} f64"
    return replace(contestant, name=name, prepare=prepare, most_work=most_work)


def missing_library(name: str, package: str) -> str | None:
    """Tries ``import name``; returns a note when it fails, with the reason."""
    try:
        __import__(name)
    except ImportError as error:
        return f"{package} is not installed ({error})"
    return None
