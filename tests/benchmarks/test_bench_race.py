"""Who is timed how often, with which setting, and what a row holds."""

from collections.abc import Callable

import pytest
import torch

from benchmarks import race as racing
from benchmarks.contestants import Contestant
from benchmarks.gate import GateError, Quality, lasso_gap
from benchmarks.omp_problems import OMP, OmpProblem
from benchmarks.problems import LASSO, LassoProblem
from benchmarks.race import Runner, plan, qualify, race
from benchmarks.sparsedef_entry import contestant
from sparsedef import lasso, omp

PROBLEM = LASSO["tiny"][0].build()
RIGHT = lasso(
    PROBLEM.x.double(), PROBLEM.dictionary.double(), PROBLEM.alpha, backend="reference"
).codes


def pedantic(
    run: Callable[[], None], setup: Callable[[], None], rounds: int, **options: object
) -> None:
    for _ in range(rounds):
        setup()
        run()


def peer(name: str, settings: tuple[float, ...], tried: list[float]) -> Contestant:
    """Answers with the right codes plus an error of the size of the setting."""

    def prepare(problem: LassoProblem, setting: float, threads: int) -> Callable[[], torch.Tensor]:
        tried.append(setting)
        assert RIGHT is not None
        codes = RIGHT + setting * (RIGHT != 0)
        return lambda: codes

    return Contestant(
        name, name, lambda problem: True, prepare, lambda result, problem: result, settings
    )


def test_the_loosest_setting_that_passes_is_timed() -> None:
    tried: list[float] = []
    runner = qualify(peer("loose", (0.3, 0.1, 1e-7, 0.0), tried), PROBLEM, 1)
    assert runner.setting == 1e-7
    assert tried[1:] == [0.3, 0.1, 1e-7]  # the first call was the warm-up
    assert runner.quality.value <= 1e-5


def test_the_same_peer_starts_next_time_at_what_passed() -> None:
    tried: list[float] = []
    one = peer("twice", (0.3, 0.1, 1e-7), tried)
    qualify(one, PROBLEM, 1)
    tried.clear()
    assert qualify(one, PROBLEM, 2).setting == 1e-7
    assert tried == [1e-7]


def test_a_sweep_ends_when_tighter_settings_bring_nothing() -> None:
    tried: list[float] = []
    with pytest.raises(GateError, match="p99 of the relative duality gap"):
        qualify(peer("stuck", (0.1, 0.1, 0.1, 0.1, 0.0), tried), PROBLEM, 1)
    assert tried[1:] == [0.1, 0.1, 0.1]


def test_a_refused_peer_is_a_note_and_is_not_asked_again() -> None:
    tried: list[float] = []
    wrong = peer("wrong again", (0.1,), tried)
    rows = [race(PROBLEM, contestant("reference"), [wrong], n, 0.0, pedantic) for n in (1, 2)]
    assert all("not timed" in row["notes"]["wrong again"] for row in rows)
    assert len(tried) == 2  # the warm-up and the gate of the first race


def test_a_wrong_answer_of_ours_is_refused() -> None:
    with pytest.raises(GateError):
        race(PROBLEM, peer("ours", (0.1,), []), [], 1, 0.0, pedantic)


def test_a_row_says_what_the_problem_was_and_what_the_product_alone_takes() -> None:
    row = race(PROBLEM, contestant("reference"), [peer("good", (0.0,), [])], 1, 0.0, pedantic)
    assert row["product_ms"] > 0
    assert (row["n_signals"], row["n_features"], row["n_atoms"]) == (8, 16, 32)
    assert (row["alpha"], row["nonnegative"]) == (0.1, False)
    assert row["cosines"] == PROBLEM.cosines
    assert row["ours"]["n_nonzero"] == pytest.approx(row["peers"][0]["n_nonzero"])
    assert row["threads"] == 1


def test_who_follows_another_rule_is_timed_and_kept_apart() -> None:
    problem = next(spec for spec in OMP["tiny"] if spec.selection == "omp").build()
    asked: list[str] = []

    def prepare(given: OmpProblem, setting: None, threads: int) -> Callable[[], torch.Tensor]:
        asked.append(given.selection)
        code = omp(given.x, given.dictionary, given.n_nonzero, selection=given.selection)
        return lambda: code.codes

    other = Contestant(
        "other", "other", lambda p: p.selection == "ols", prepare, lambda result, problem: result
    )
    row = race(
        problem,
        contestant("reference"),
        [other],
        1,
        0.0,
        pedantic,
        across=[(other, problem.by("ols"))],
        beside={"idle_ms": lambda: None},
    )
    assert set(asked) == {"ols"}
    assert row["peers"] == []
    assert [entry["name"] for entry in row["across"]] == ["other"]
    assert row["across"][0]["value"] == 1.0
    assert row["idle_ms"] < row["ours"]["median_ms"]
    assert (row["max_nonzero"], row["selection"]) == (3, "omp")


def runner(seconds: float) -> Runner:
    one = peer("any", (0.0,), [])
    return Runner(one, 0.0, lambda: None, Quality("p99 gap", 0.0, 1.0), seconds)


def test_everybody_runs_equally_often_unless_far_behind() -> None:
    us, near, far = runner(0.1), runner(0.3), runner(0.6)
    assert plan(us, [near, far], budget=4.0) == 10
    assert (near.rounds, far.rounds) == (10, 3)


def test_the_fastest_peer_is_waited_for_and_slower_ones_run_once() -> None:
    us, fastest, rival, slow = runner(0.1), runner(2.5), runner(3.5), runner(4.0)
    plan(us, [fastest, rival, slow], budget=4.0)
    assert (fastest.rounds, rival.rounds, slow.rounds) == (3, 2, 1)
    slow.run()  # has its one call from the gate
    assert slow.seconds == [4.0]
    assert slow.row["rounds"] == 1
    assert slow.row["q1_ms"] == slow.row["median_ms"] == slow.row["q3_ms"] == 4000.0


def test_a_short_call_follows_one_that_is_not_timed() -> None:
    for seconds, calls in ((0.001, 2), (1.0, 1)):
        made: list[None] = []
        one = runner(seconds)
        one.call = lambda made=made: made.append(None)  # type: ignore[misc]
        one.get_ready()
        one.run()
        assert len(made) == calls
        assert len(one.seconds) == 1


def test_at_least_three_rounds_are_ours() -> None:
    assert plan(runner(9.0), [], budget=1.0) == racing.MIN_ROUNDS


def test_the_gap_does_not_depend_on_the_chunks_it_is_found_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from benchmarks import gate

    assert RIGHT is not None
    whole = lasso_gap(PROBLEM, 0.9 * RIGHT)
    monkeypatch.setattr(gate, "CHUNK", 3)
    assert torch.allclose(lasso_gap(PROBLEM, 0.9 * RIGHT), whole, rtol=1e-10)
