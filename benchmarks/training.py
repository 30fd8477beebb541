"""Times learners to the same quality: seconds until a held-out objective is reached.

Everyone begins at the same atoms and may see each signal ``PASSES`` times at the most. First all
run at budgets that double, and one judge computes the held-out objective of what they learned; the
target is 1 % above the lowest of all these. Then each one's least budget that reaches the target is
found by bisection, and runs at this budget are timed in turns. A learner that can be stopped and
asked on the way, and is so slow that this matters, runs once with many stops instead.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from torch import Tensor

from benchmarks.dictionary_problems import DictionaryProblem
from benchmarks.gate import GateError

WITHIN = 1.01  # of the lowest objective: the target
PASSES = 4
FIRST = 1 / 8  # of a pass: the first budget
BISECTIONS = 3  # of a factor of 2 between budgets: to 9 %
STOP = 2**0.125  # between stops of who runs once
PATIENCE = {"tiny": 2.0, "small": 20.0, "full": 60.0}  # seconds for who runs once
ROUNDS = 3

Learned = tuple[float, Tensor]  # seconds since the start, atoms [N, M]


@dataclass(frozen=True)
class Trainer:
    """One way to learn a dictionary.

    Attributes:
        name: ``library.function`` as shown in the tables.
        library: What has to be installed, as named on the package index.
        start: ``(problem, setting, threads)`` to a function of a number of signals to see, which
            gives seconds and atoms; called with growing numbers where ``is_continued``.
        settings: Ways to call it, named; each runs at all budgets, the best is shown.
        is_continued: Whether a call goes on from the one before.
        missing: Why it cannot run here; ``None`` when it can.
    """

    name: str
    library: str
    start: Callable[[DictionaryProblem, Any, int], Callable[[int], Learned]]
    settings: tuple[Any, ...] = (None,)
    is_continued: bool = False
    missing: str | None = None


@dataclass
class Curve:
    """What one trainer learned with one setting, budget by budget.

    Attributes:
        points: Signals seen, seconds and objective, by signals seen.
        seconds: Of the timed runs.
    """

    trainer: Trainer
    setting: Any
    run: Callable[[int], Learned]
    points: list[tuple[int, float, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, n_seen: int, problem: DictionaryProblem) -> float:
        """Learns from ``n_seen`` signals and asks the judge."""
        seconds, atoms = self.run(n_seen)
        objective = problem.objective(atoms)
        self.points = sorted([*self.points, (n_seen, seconds, objective)])
        return objective

    @property
    def lowest(self) -> float:
        """The lowest objective of all budgets."""
        return min(objective for _, _, objective in self.points)

    def reaching(self, target: float) -> tuple[int, float, float] | None:
        """The first point that is at the target, if there is one."""
        return next((point for point in self.points if point[2] <= target), None)

    def bisect(self, target: float, problem: DictionaryProblem) -> None:
        """Narrows down the least budget that reaches the target."""
        for _ in range(0 if self.trainer.is_continued else BISECTIONS):
            reached = self.reaching(target)
            assert reached is not None
            short = [n_seen for n_seen, _, _ in self.points if n_seen < reached[0]]
            if short:
                self.add(int((short[-1] * reached[0]) ** 0.5), problem)

    def time(self, n_seen: int) -> None:
        """One timed run."""
        self.seconds.append(self.run(n_seen)[0])

    def row(self, target: float) -> dict[str, Any]:
        """For the JSON; times in milliseconds."""
        reached = self.reaching(target)
        assert reached is not None
        seconds = self.seconds or [reached[1]]
        many = len(seconds) > 1
        low, middle, high = quantiles(seconds, n=4, method="inclusive") if many else 3 * seconds
        return {
            "name": self.trainer.name,
            "setting": self.setting,
            "median_ms": 1e3 * middle,
            "q1_ms": 1e3 * low,
            "q3_ms": 1e3 * high,
            "rounds": len(seconds),
            "measure": "held-out objective",
            "value": reached[2],
            "n_seen": reached[0],
            "lowest": self.lowest,
            "curve": self.points,
        }


def race(
    problem: DictionaryProblem,
    ours: Trainer,
    peers: Sequence[Trainer],
    threads: int,
    patience: float,
    pedantic: Callable[..., Any],
) -> dict[str, Any]:
    """Runs ``ours`` and ``peers`` to the same held-out objective.

    Args:
        problem: What all of them learn.
        ours: Must reach the target, or the benchmark fails.
        peers: Those that are missing, wrong, or do not reach the target get a note.
        threads: For everybody.
        patience: Seconds for each one that runs once with stops.
        pedantic: pytest-benchmark's ``benchmark.pedantic``; it times ``ours`` and runs the peers,
            who time themselves, as the set-up of each round.

    Returns:
        The row for the JSON.

    Raises:
        GateError: Our own dictionary is wrong, or misses the target.
    """
    notes = {peer.name: peer.missing for peer in peers if peer.missing is not None}
    able = [peer for peer in peers if peer.missing is None]
    us = explore(ours, problem, threads)
    curves = []
    for peer in able:
        if not peer.is_continued:
            try:
                curves += explore(peer, problem, threads)
            except GateError as error:
                notes[peer.name] = f"not timed: {error}"
    target = WITHIN * min(curve.lowest for curve in [*us, *curves])
    for peer in able:
        if peer.is_continued:
            curves += _run_once(peer, problem, threads, target, patience)
    mine, *timed = [
        _least(own, target, problem, notes)
        for own in [us, *([c for c in curves if c.trainer is peer] for peer in able)]
        if own
    ]
    if mine is None:
        raise GateError(f"ours: {notes[ours.name]}")
    rivals = [curve for curve in timed if curve is not None]

    def others() -> None:
        for curve in rivals:
            if not curve.trainer.is_continued:
                curve.time(_needed(curve, target))

    needed = _needed(mine, target)
    pedantic(mine.time, args=(needed,), setup=others, rounds=ROUNDS, iterations=1, warmup_rounds=0)
    return {
        "problem": problem.name,
        "op": problem.op,
        "n_signals": len(problem.x),
        "n_features": problem.x.shape[1],
        "n_atoms": len(problem.init),
        **problem.facts,
        "target": target,
        "threads": threads,
        "load": round(os.getloadavg()[0], 2),
        "ours": mine.row(target),
        "peers": sorted((curve.row(target) for curve in rivals), key=lambda row: row["median_ms"]),
        "notes": notes,
    }


def explore(trainer: Trainer, problem: DictionaryProblem, threads: int) -> list[Curve]:
    """Runs all settings at budgets that double."""
    curves = []
    for setting in trainer.settings:
        curve = Curve(trainer, setting, trainer.start(problem, setting, threads))
        budget = FIRST * len(problem.x)
        while budget <= PASSES * len(problem.x):
            curve.add(int(budget), problem)
            budget *= 2
        curves.append(curve)
    return curves


def _run_once(
    trainer: Trainer, problem: DictionaryProblem, threads: int, target: float, patience: float
) -> list[Curve]:
    curves = []
    for setting in trainer.settings:
        curve = Curve(trainer, setting, trainer.start(problem, setting, threads))
        budget = FIRST * len(problem.x)
        while budget <= PASSES * len(problem.x):
            if curve.add(int(budget), problem) <= target or curve.points[-1][1] > patience:
                break
            budget *= STOP
        curves.append(curve)
    return curves


def _least(
    curves: Sequence[Curve], target: float, problem: DictionaryProblem, notes: dict[str, str]
) -> Curve | None:
    """The setting that reaches the target first; ``None``, and a note, when none does."""
    able = [curve for curve in curves if curve.reaching(target) is not None]
    if not able:
        best = min(curves, key=lambda curve: curve.lowest)
        n_seen, seconds, _ = best.points[-1]
        notes[best.trainer.name] = (
            f"not timed: held-out objective {best.lowest:.2f}, not {target:.2f}, after"
            f" {n_seen:,} signals and {seconds:.0f} s"
        )
        return None
    for curve in able:
        curve.bisect(target, problem)
    return min(able, key=lambda curve: _seconds(curve, target))


def _seconds(curve: Curve, target: float) -> float:
    reached = curve.reaching(target)
    assert reached is not None
    return reached[1]


def _needed(curve: Curve, target: float) -> int:
    reached = curve.reaching(target)
    assert reached is not None
    return reached[0]


def clocked(learn: Callable[[], Tensor]) -> Learned:
    """Runs ``learn`` and says how long it took."""
    start = time.perf_counter()
    atoms = learn()
    return time.perf_counter() - start, atoms
