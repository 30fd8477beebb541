"""Times all contestants of one problem, side by side, after the gate has passed each of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median, quantiles
from typing import Any

import torch
from torch import Tensor

from benchmarks.contestants import Call, Contestant, Problem
from benchmarks.gate import GateError, Quality, judge_lasso, judge_omp
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


class Product:
    """``x @ dictionary.T`` alone, into memory that is there: the limit to compare with."""

    def __init__(self, problem: Problem) -> None:
        self.x, self.atoms = problem.x, problem.dictionary.T
        self.out = self.x.new_zeros(len(self.x), len(problem.dictionary))
        self.seconds: list[float] = []
        self.run()  # not counted: libraries make their buffers
        self.first_seconds = self.seconds.pop()

    def get_ready(self) -> None:
        """As the contestants do."""
        if self.first_seconds < SHORT:
            torch.mm(self.x, self.atoms, out=self.out)

    def run(self) -> None:
        """One timed call."""
        start = time.perf_counter()
        torch.mm(self.x, self.atoms, out=self.out)
        self.seconds.append(time.perf_counter() - start)

    @property
    def median_ms(self) -> float:
        """Of all rounds."""
        return 1e3 * median(self.seconds)


def _quartiles(seconds: list[float]) -> list[float]:
    return quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else 3 * seconds


def race(
    problem: Problem,
    ours: Contestant,
    peers: Sequence[Contestant],
    threads: int,
    budget: float,
    pedantic: Callable[..., Any],
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

    Returns:
        The row for the JSON.

    Raises:
        GateError: Our own answer is wrong.
    """
    us = qualify(ours, problem, threads)
    runners, notes = [], {}
    for peer in peers:
        if not peer.accepts(problem):
            continue
        note = peer.why_not(problem) or _failed.get((peer, problem.name))
        if note is None:
            try:
                runners.append(qualify(peer, problem, threads))
            except GateError as error:
                note = _failed[peer, problem.name] = f"not timed: {error}"
        if note is not None:
            notes[peer.name] = note

    product = Product(problem)
    us.rounds = plan(us, runners, budget)
    turns: list[Runner | Product] = [*runners, product]

    def others() -> None:
        for runner in turns:
            runner.get_ready()
            runner.run()
        turns[:] = turns[1:] + turns[:1]  # nobody always runs just before us
        us.get_ready()

    pedantic(us.run, setup=others, rounds=us.rounds, iterations=1, warmup_rounds=0)
    return {
        "problem": problem.name,
        "op": "lasso" if isinstance(problem, LassoProblem) else "omp",
        "n_signals": len(problem.x),
        "n_features": problem.x.shape[1],
        "n_atoms": len(problem.dictionary),
        **_lasso_facts(problem),
        "threads": threads,
        "load": round(os.getloadavg()[0], 2),
        "product_ms": product.median_ms,
        "ours": us.row,
        "peers": sorted((runner.row for runner in runners), key=lambda row: row["median_ms"]),
        "notes": notes,
    }


def _lasso_facts(problem: Problem) -> dict[str, Any]:
    if not isinstance(problem, LassoProblem):
        return {}
    return {
        "alpha": problem.alpha,
        "nonnegative": problem.nonnegative,
        "cosines": problem.cosines,
    }


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
    """Finds the loosest setting that passes, on a few signals first, then on all of them.

    The sweep ends when two tighter settings do not bring the contestant closer, or after one that
    took long. For a problem that it has passed before, with other threads, it starts at what
    passed then.

    Raises:
        GateError: No setting passes; the reason is that of the last one tried.
    """
    trial = replace(problem, x=problem.x[:TRIAL])
    _warm_up(contestant, problem, threads)
    reason, best, stuck = "no setting tried", float("inf"), 0
    known = (contestant, problem.name)
    first = _passing.get(known, 0)
    for index, setting in enumerate(contestant.settings[first:], start=first):
        began = time.perf_counter()
        try:
            if len(problem.x) > TRIAL and index != _passing.get(known):
                attempt = contestant.prepare(trial, setting, threads)()
                judge(trial, contestant.to_codes(attempt, trial))
            call = contestant.prepare(problem, setting, threads)
            start = time.perf_counter()
            result = call()
            seconds = time.perf_counter() - start
            quality = judge(problem, contestant.to_codes(result, problem))
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
        few = replace(problem, x=problem.x[:2], dictionary=problem.dictionary[:32])
        contestant.prepare(few, contestant.settings[0], threads)()
        _warm.add(kind)


def judge(problem: Problem, codes: Tensor) -> Quality:
    """Applies the gate that belongs to the problem."""
    if isinstance(problem, LassoProblem):
        return judge_lasso(problem, codes)
    return judge_omp(problem, codes)
