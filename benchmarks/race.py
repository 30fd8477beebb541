"""Times all contestants of one problem, side by side, after the gate has passed each of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import quantiles
from typing import Any

from benchmarks.contestants import Call, Contestant, Problem
from benchmarks.gate import GateError, Quality, judge_lasso, judge_omp
from benchmarks.problems import LassoProblem

TRIAL = 256  # signals on which accuracy settings are tried, loose to tight
MIN_ROUNDS, MAX_ROUNDS = 3, 25
SLOW = 5  # times the fastest: such peers run in the first MIN_ROUNDS rounds alone


@dataclass
class Runner:
    """A contestant that passed the gate, its call, and the seconds each round took."""

    contestant: Contestant
    setting: Any
    call: Call
    quality: Quality
    first_seconds: float
    result: Any = None
    seconds: list[float] = field(default_factory=list)

    def run(self) -> None:
        """One timed call."""
        start = time.perf_counter()
        self.result = self.call()
        self.seconds.append(time.perf_counter() - start)

    @property
    def row(self) -> dict[str, Any]:
        """For the JSON; times in milliseconds."""
        low, median, high = quantiles(self.seconds, n=4, method="inclusive")
        return {
            "name": self.contestant.name,
            "setting": self.setting,
            "backend": getattr(self.result, "backend", None),
            "median_ms": 1e3 * median,
            "q1_ms": 1e3 * low,
            "q3_ms": 1e3 * high,
            "rounds": len(self.seconds),
            **self.quality.row,
        }


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
        note = peer.why_not(problem)
        if note is None:
            try:
                runners.append(qualify(peer, problem, threads))
            except GateError as error:
                note = f"not timed: {error}"
        if note is not None:
            notes[peer.name] = note

    bound = SLOW * min(runner.first_seconds for runner in (us, *runners))
    together = sum(r.first_seconds for r in (us, *runners) if r is us or r.first_seconds <= bound)
    rounds = max(MIN_ROUNDS, min(MAX_ROUNDS, int(budget / together)))

    def others() -> None:
        for runner in runners:
            if runner.first_seconds <= bound or len(runner.seconds) < MIN_ROUNDS:
                runner.run()
        runners[:] = runners[1:] + runners[:1]  # nobody always runs just before us

    pedantic(us.run, setup=others, rounds=rounds, iterations=1, warmup_rounds=0)
    return {
        "problem": problem.name,
        "op": "lasso" if isinstance(problem, LassoProblem) else "omp",
        "n_signals": len(problem.x),
        "threads": threads,
        "ours": us.row,
        "peers": sorted((runner.row for runner in runners), key=lambda row: row["median_ms"]),
        "notes": notes,
    }


def qualify(contestant: Contestant, problem: Problem, threads: int) -> Runner:
    """Finds the loosest setting that passes, on a few signals first, then on all of them.

    The sweep ends when a tighter setting does not bring the contestant closer.

    Raises:
        GateError: No setting passes; the reason is that of the last one tried.
    """
    trial = replace(problem, x=problem.x[:TRIAL])
    reason, best = "no setting tried", float("inf")
    for setting in contestant.settings:
        try:
            if len(problem.x) > TRIAL:
                attempt = contestant.prepare(trial, setting, threads)()
                judge(trial, contestant.to_codes(attempt, trial))
            call = contestant.prepare(problem, setting, threads)
            start = time.perf_counter()
            result = call()
            seconds = time.perf_counter() - start
            quality = judge(problem, contestant.to_codes(result, problem))
            return Runner(contestant, setting, call, quality, seconds)
        except GateError as error:
            reason = str(error)
            if not error.value < 0.9 * best:
                break
            best = error.value
    raise GateError(reason, best)


def judge(problem: Problem, codes: Any) -> Quality:
    """Applies the gate that belongs to the problem."""
    if isinstance(problem, LassoProblem):
        return judge_lasso(problem, codes)
    return judge_omp(problem, codes)
