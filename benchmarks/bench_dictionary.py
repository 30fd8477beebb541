"""Dictionary learning to the same held-out objective: time against the peers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from benchmarks.baselines.dictionary_baseline import TRAINERS
from benchmarks.dictionary_problems import DictionaryProblem, DictionarySpec
from benchmarks.training import PATIENCE, Learned, Trainer, clocked, race
from sparsedef.learning import OnlineLearner


def ours(backend: str) -> Trainer:
    """sparsedef with its defaults."""
    name = "sparsedef" if backend == "auto" else f"sparsedef[{backend}]"

    def start(problem: DictionaryProblem, setting: None, threads: int) -> Callable[[int], Learned]:
        return lambda n_seen: clocked(lambda: _learn(problem, n_seen, backend))

    return Trainer(name, "sparsedef", start)


def _learn(problem: DictionaryProblem, n_seen: int, backend: str) -> torch.Tensor:
    """In whole minibatches of shuffled passes, as ``fit`` does, which only ends with a pass."""
    x, n_signals = problem.x, len(problem.x)
    learner = OnlineLearner(
        len(problem.init), alpha=problem.alpha, init=problem.init, backend=backend
    )
    draw = torch.Generator().manual_seed(0)
    while learner.n_seen < n_seen:
        first = learner.n_seen % n_signals
        if first == 0:
            order = torch.randperm(n_signals, generator=draw)
        learner.partial_fit(x[order[first : first + learner.batch_size]])
    return learner.dictionary


def test_dictionary(
    dictionary_spec: DictionarySpec,
    race_settings: dict[str, Any],
    benchmark: Any,
    keep: Callable[[dict[str, Any]], None],
    request: pytest.FixtureRequest,
) -> None:
    patience = PATIENCE[request.config.getoption("--size")]
    trainer, threads = ours(race_settings["backend"]), race_settings["threads"]
    keep(race(dictionary_spec.build(), trainer, TRAINERS, threads, patience, benchmark.pedantic))
