"""Times all contestants of one problem, side by side, after the gate has passed each of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

import torch
from torch import Tensor

from benchmarks.contestants import Call, Contestant, Problem
from benchmarks.gate import GateError, Quality, judge_lasso, judge_omp, judge_patches
from benchmarks.omp_problems import PatchProblem
from benchmarks.problems import LassoProblem

TRIAL = 256  # signals on which accuracy settings are tried, loose to tight
MIN_ROUNDS, MAX_ROUNDS = 3, 25
SLOW = 5  # times the fastest: such peers run in MIN_ROUNDS rounds at the most
RIVAL = 1.5  # times the fastest peer: those whose rounds are worth waiting for
PATIENCE = {True: 10.0, False: 2.0}  # seconds for the rounds of a slow peer, a rival or not
TOO_LONG = 5.0  # seconds for one setting that then fails: tighter ones are not tried
SHORT = 0.01  # seconds: such calls are timed right after one that is not, with caches their own

# What is known of contestants and problems, by name: accuracy does not depend on the threads.
_warm: set[tuple[Contestant, type[Problem]]] = set()
_passing: dict[tuple[Contestant, str], int] = {}
_failed: dict[tuple[Contestant, str], str] = {}


@dataclass
class Runner:
    """A contestant that passed the gate, its call, and the seconds each round took."""

    contestant: Contestant
    setting: Any
    call: Call
    quality: Quality
    first_seconds: float
    rounds: int = MAX_ROUNDS
    backend: str | None = None
    seconds: list[float] = field(default_factory=list)

    @property
    def is_due(self) -> bool:
        """Whether there are rounds left."""
        return len(self.seconds) < self.rounds

    def get_ready(self) -> None:
        """One call that is not timed, before a short one that is."""
        if self.is_due and self.first_seconds < SHORT:
            self.call()

    def run(self) -> None:
        """One timed call, unless there were enough."""
        if self.is_due:
            start = time.perf_counter()
            result = self.call()
            self.seconds.append(time.perf_counter() - start)
            self.backend = getattr(result, "backend", None)

    def settle(self, rounds: int) -> None:
        """Decides how many rounds to run; the gate's own call is the only one of 1."""
        self.rounds = rounds
        if rounds == 1:
            self.seconds.append(self.first_seconds)

    @property
    def row(self) -> dict[str, Any]:
        """For the JSON; times in milliseconds."""
        low, middle, high = _quartiles(self.seconds)
        return {
            "name": self.contestant.name,
            "setting": self.setting,
            "backend": self.backend,
            "median_ms": 1e3 * middle,
            "q1_ms": 1e3 * low,
            "q3_ms": 1e3 * high,
            "rounds": len(self.seconds),
            **self.quality.row,
        }


class Beside:
    """Work timed in the same turns that is no contestant: what to compare the contestants with."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.seconds: list[float] = []
        self.run()  # not counted: libraries make their buffers
        self.first_seconds = self.seconds.pop()

    def get_ready(self) -> None:
        """As the contestants do."""
        if self.first_seconds < SHORT:
            self.call()

    def run(self) -> None:
        """One timed call."""
        start = time.perf_counter()
        self.call()
        self.seconds.append(time.perf_counter() - start)

    @property
    def median_ms(self) -> float:
        """Of all rounds."""
        return 1e3 * median(self.seconds)


def product(problem: Problem) -> Call:
    """``x @ dictionary.T`` alone, into memory that is there."""
    x, atoms = problem.x, problem.dictionary.T
    out = x.new_zeros(len(x), len(problem.dictionary))
    return lambda: torch.mm(x, atoms, out=out)


def _quartiles(seconds: list[float]) -> list[float]:
    return quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else 3 * seconds


def race(
    problem: Problem,
    ours: Contestant,
    peers: Sequence[Contestant],
    threads: int,
    budget: float,
    pedantic: Callable[..., Any],
    *,
    across: Sequence[tuple[Contestant, Problem]] = (),
    beside: Mapping[str, Call] | None = None,
) -> dict[str, Any]:
    """Runs ``ours`` and ``peers`` in turns, so that whatever the machine does hits them alike.

    Args:
        problem: What all of them solve.
        ours: Must pass the gate, or the benchmark fails.
        peers: Those that are missing, too slow or not accurate enough get a note.
        threads: For everybody.
        budget: Seconds for all rounds of those that are not slow; at least 3 rounds are run.
        pedantic: pytest-benchmark's ``benchmark.pedantic``; it times ``ours`` and runs the peers,
            who time themselves, as the set-up of each round.
        across: Contestants with the problem of another rule that they solve instead; they are
            timed in the same turns and kept apart from the peers.
        beside: What else is timed in the same turns, by its name in the row.

    Returns:
        The row for the JSON.

    Raises:
        GateError: Our own answer is wrong.
    """
    us = qualify(ours, problem, threads)
    runners, notes = _qualify_all([(peer, problem) for peer in peers], threads)
    strangers, more_notes = _qualify_all(across, threads)
    timed = {name: Beside(call) for name, call in (beside or {}).items()}
    timed["product_ms"] = Beside(product(problem))
    us.rounds = plan(us, runners, budget)
    plan(us, strangers, budget)
    turns: list[Runner | Beside] = [*runners, *strangers, *timed.values()]

    def others() -> None:
        for runner in turns:
            runner.get_ready()
            runner.run()
        turns[:] = turns[1:] + turns[:1]  # nobody always runs just before us
        us.get_ready()

    pedantic(us.run, setup=others, rounds=us.rounds, iterations=1, warmup_rounds=0)
    return {
        "problem": problem.name,
        "op": problem.op,
        "n_signals": len(problem.x),
        "n_features": problem.x.shape[1],
        "n_atoms": len(problem.dictionary),
        **problem.facts,
        "threads": threads,
        "load": round(os.getloadavg()[0], 2),
        **{name: each.median_ms for name, each in timed.items()},
        "ours": us.row,
        "peers": _rows(runners),
        "across": _rows(strangers),
        "notes": {**more_notes, **notes},
    }


def _qualify_all(
    entries: Sequence[tuple[Contestant, Problem]], threads: int
) -> tuple[list[Runner], dict[str, str]]:
    """Those that may start, and notes for those that may not, by their names."""
    runners, notes = [], {}
    for contestant, problem in entries:
        if not contestant.accepts(problem):
            continue
        note = contestant.why_not(problem) or _failed.get((contestant, problem.name))
        if note is None:
            try:
                runners.append(qualify(contestant, problem, threads))
            except GateError as error:
                note = _failed[contestant, problem.name] = f"not timed: {error}"
        if note is not None:
            notes[contestant.name] = note
    return runners, notes


def _rows(runners: Sequence[Runner]) -> list[dict[str, Any]]:
    return sorted((runner.row for runner in runners), key=lambda row: row["median_ms"])


def plan(us: Runner, peers: Sequence[Runner], budget: float) -> int:
    """Settles the rounds of each peer, few for those far behind, and returns ours."""
    everybody = [us.first_seconds, *(peer.first_seconds for peer in peers)]
    bound, rival = SLOW * min(everybody), RIVAL * min(everybody[1:], default=0.0)
    together = us.first_seconds + sum(seconds for seconds in everybody[1:] if seconds <= bound)
    rounds = max(MIN_ROUNDS, min(MAX_ROUNDS, int(budget / together)))
    for peer in peers:
        seconds = peer.first_seconds
        patience = int(PATIENCE[seconds <= rival] / seconds)
        peer.settle(rounds if seconds <= bound else max(1, min(MIN_ROUNDS, patience)))
    return rounds


def qualify(contestant: Contestant, problem: Problem, threads: int) -> Runner:
    """Finds the loosest setting that passes; where there are several, on a few signals first.

    The sweep ends when two tighter settings do not bring the contestant closer, or after one that
    took long. For a problem that it has passed before, with other threads, it starts at what
    passed then.

    Raises:
        GateError: No setting passes; the reason is that of the last one tried.
    """
    trial = problem.first(TRIAL)
    is_swept = len(contestant.settings) > 1 and len(problem.x) > TRIAL
    _warm_up(contestant, problem, threads)
    reason, best, stuck = "no setting tried", float("inf"), 0
    known = (contestant, problem.name)
    first = _passing.get(known, 0)
    for index, setting in enumerate(contestant.settings[first:], start=first):
        began = time.perf_counter()
        try:
            if is_swept and index != _passing.get(known):
                attempt = contestant.prepare(trial, setting, threads)()
                judge(trial, contestant.to_answer(attempt, trial))
            call = contestant.prepare(problem, setting, threads)
            start = time.perf_counter()
            result = call()
            seconds = time.perf_counter() - start
            quality = judge(problem, contestant.to_answer(result, problem))
        except GateError as error:
            reason, took = str(error), time.perf_counter() - began
            if took > TOO_LONG:
                reason += f", given up after {took:.0f} s"
            stuck = 0 if error.value < 0.9 * best else stuck + 1
            if stuck == 2 or took > TOO_LONG:
                break
            best = min(best, error.value)
        else:
            _passing[known] = index
            return Runner(contestant, setting, call, quality, seconds)
    raise GateError(reason, best)


def _warm_up(contestant: Contestant, problem: Problem, threads: int) -> None:
    """Runs a contestant once on very little: some compile or load at their first call."""
    kind = (contestant, type(problem))
    if kind not in _warm:
        contestant.prepare(problem.first(2, 32), contestant.settings[0], threads)()
        _warm.add(kind)


def judge(problem: Problem, answer: Tensor) -> Quality:
    """Applies the gate that belongs to the problem."""
    if isinstance(problem, LassoProblem):
        return judge_lasso(problem, answer)
    if isinstance(problem, PatchProblem):
        return judge_patches(problem, answer)
    return judge_omp(problem, answer)
