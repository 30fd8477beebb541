"""Learners are timed to the same objective, by one judge, and wrong dictionaries are refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.dictionary_problems import DictionaryProblem
from benchmarks.gate import GateError
from benchmarks.training import WITHIN, Curve, Learned, Trainer, race
from sparsedef.testing import lasso_objective, make_problem

X, ATOMS = make_problem(400, 12, 16, dtype=torch.float32)
PROBLEM = DictionaryProblem("drawn", X, X[:50], ATOMS, 0.2)


def test_the_judge_finds_the_minimum_over_codes() -> None:
    from sparsedef import lasso

    code = lasso(X[:50].double(), ATOMS.double(), 0.2, backend="reference")
    assert code.codes is not None
    wanted = float(lasso_objective(X[:50], ATOMS, code.codes, 0.2).mean())
    assert PROBLEM.objective(ATOMS) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(
    ("atoms", "reason"),
    [
        (ATOMS[:3], "atoms are"),
        (1.1 * ATOMS, "norm 1.1"),
        (ATOMS * torch.nan, "norm nan"),
    ],
)
def test_the_judge_refuses_what_is_no_dictionary(atoms: Tensor, reason: str) -> None:
    with pytest.raises(GateError, match=reason):
        PROBLEM.objective(atoms)


def shrinking(pace: float, floor: float, calls: list[int]) -> Callable[..., Callable[..., Learned]]:
    """Pretends to learn: the longer, the fewer atoms are shrunk; a second per 100 signals."""

    def start(problem: DictionaryProblem, setting: Any, threads: int) -> Callable[[int], Learned]:
        def run(n_seen: int) -> Learned:
            calls.append(n_seen)
            size = 1 - max(floor, 0.5 - pace * n_seen / len(problem.x))
            return n_seen / 100, size * problem.init

        return run

    return start


def pedantic(
    run: Callable[..., None], args: Any, setup: Callable[[], None], **options: Any
) -> None:
    for _ in range(options["rounds"]):
        setup()
        run(*args)


def test_all_are_timed_to_one_objective_and_who_misses_it_gets_a_note() -> None:
    calls: list[int] = []
    ours = Trainer("ours", "x", shrinking(0.5, 0.0, calls))
    peers = [
        Trainer("slower", "x", shrinking(0.2, 0.0, [])),
        Trainer("stops", "x", shrinking(0.2, 0.0, []), is_continued=True),
        Trainer("stuck", "x", shrinking(0.5, 0.3, [])),
        Trainer("absent", "x", shrinking(1, 0, []), missing="x is not installed"),
    ]
    row = race(PROBLEM, ours, peers, 1, 60.0, pedantic)
    lowest = PROBLEM.objective(ATOMS)
    assert row["target"] == pytest.approx(WITHIN * lowest)
    assert {peer["name"] for peer in row["peers"]} == {"slower", "stops"}
    assert row["notes"]["absent"] == "x is not installed"
    assert "held-out objective" in row["notes"]["stuck"]
    for each in (row["ours"], *row["peers"]):
        assert each["value"] <= row["target"]
        short = [objective for n_seen, _, objective in each["curve"] if n_seen < each["n_seen"]]
        assert all(objective > row["target"] for objective in short)
        before = max(n_seen for n_seen, _, _ in each["curve"] if n_seen < each["n_seen"])
        assert each["n_seen"] <= 1.1 * before  # found to 9 %
        assert each["median_ms"] == pytest.approx(10 * each["n_seen"])
    assert calls[-3:] == [row["ours"]["n_seen"]] * 3
    times = {each["name"]: each["median_ms"] for each in row["peers"]}
    assert times["slower"] == pytest.approx(2.5 * row["ours"]["median_ms"], rel=0.1)


def test_the_setting_that_is_there_first_is_shown() -> None:
    def start(problem: DictionaryProblem, pace: float, threads: int) -> Callable[[int], Learned]:
        return shrinking(pace, 0.0, [])(problem, None, threads)

    ours = Trainer("ours", "x", start, settings=(0.2, 0.4, 0.3))
    assert race(PROBLEM, ours, [], 1, 60.0, pedantic)["ours"]["setting"] == 0.4


def test_we_must_reach_the_target_ourselves() -> None:
    stuck = Trainer("ours", "x", shrinking(0.5, 0.3, []))
    good = Trainer("good", "x", shrinking(0.5, 0.0, []))
    with pytest.raises(GateError, match="ours: not timed"):
        race(PROBLEM, stuck, [good], 1, 60.0, pedantic)


def test_a_curve_reaches_where_it_is_first_below() -> None:
    curve = Curve(Trainer("x", "x", shrinking(1, 0, [])), None, lambda n: (0.0, ATOMS))
    curve.points = [(1, 1.0, 5.0), (2, 2.0, 3.0), (4, 4.0, 3.5), (8, 8.0, 2.0)]
    assert curve.reaching(3.2) == (2, 2.0, 3.0)
    assert curve.reaching(1.0) is None
    assert curve.lowest == 2.0
