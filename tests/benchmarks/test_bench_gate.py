"""The gate lets right answers through and stops every kind of wrong one."""

from dataclasses import replace

import pytest
import torch

import sparsedef
from benchmarks import gate
from benchmarks.contestants import Contestant
from benchmarks.problems import LASSO, OMP, LassoProblem, OmpProblem, OmpSpec
from benchmarks.race import race

IDENTITY = LassoProblem("identity", torch.tensor([[3.0, 0.5, -2.0]]), torch.eye(3), 1.0)


def pursuit(problem: OmpProblem, **options: object) -> torch.Tensor:
    x, dictionary = problem.x, problem.dictionary
    result = sparsedef.omp(x, dictionary, problem.n_nonzero, backend="reference", **options)
    assert result.codes is not None
    return result.codes


def test_the_gap_of_the_soft_threshold_is_zero() -> None:
    quality = gate.judge_lasso(IDENTITY, torch.tensor([[2.0, 0.0, -1.0]]))
    assert quality.value < 1e-12
    assert quality.n_nonzero == 2


@pytest.mark.parametrize(
    "codes", [[2.1, 0.0, -1.0], [0.0, 0.0, 0.0], [3.0, 0.5, -2.0], [2.0, torch.nan, -1.0]]
)
def test_a_wrong_lasso_is_refused(codes: list[float]) -> None:
    with pytest.raises(gate.GateError, match="gap"):
        gate.judge_lasso(IDENTITY, torch.tensor([codes]))


def test_a_negative_code_is_refused_when_codes_must_not_be() -> None:
    with pytest.raises(gate.GateError, match="gap"):
        gate.judge_lasso(replace(IDENTITY, nonnegative=True), torch.tensor([[2.0, 0.0, -1.0]]))
    gate.judge_lasso(replace(IDENTITY, nonnegative=True), torch.tensor([[2.0, 0.0, 0.0]]))


def test_the_gap_bounds_the_distance_to_the_minimum() -> None:
    problem = LASSO["tiny"][0].build()
    x, dictionary = problem.x.double(), problem.dictionary.double()
    best = sparsedef.lasso(x, dictionary, problem.alpha, tol=1e-12, backend="reference").codes
    assert best is not None
    rough = best + 1e-3 * torch.randn(best.shape, generator=torch.Generator().manual_seed(0))

    def objective(codes: torch.Tensor) -> torch.Tensor:
        fit = (x - codes @ dictionary).square().sum(dim=1) / 2
        return fit + problem.alpha * codes.abs().sum(dim=1)

    excess = (objective(rough) - objective(best)) / (x.square().sum(dim=1) / 2)
    assert (gate.lasso_gap(problem, rough) >= excess).all()


@pytest.mark.parametrize("spec", OMP["tiny"], ids=lambda spec: spec.name)
def test_a_right_pursuit_passes_and_the_other_rule_does_not(spec: OmpSpec) -> None:
    problem = spec.build()
    gate.judge_omp(problem, pursuit(problem, selection=problem.selection))
    other = "ols" if problem.selection == "omp" else "omp"
    with pytest.raises(gate.GateError, match="not the"):
        gate.judge_omp(problem, pursuit(problem, selection=other))


def test_a_pursuit_without_least_squares_or_with_too_many_atoms_is_refused() -> None:
    problem = OMP["tiny"][0].build()
    codes = pursuit(problem, selection=problem.selection)
    with pytest.raises(gate.GateError, match="least-squares"):
        gate.judge_omp(problem, codes * 1.01)
    with pytest.raises(gate.GateError, match="atoms, K="):
        gate.judge_omp(replace(problem, n_nonzero=problem.n_nonzero - 1), codes)
    with pytest.raises(gate.GateError, match="NaN"):
        gate.judge_omp(problem, codes * torch.nan)
    with pytest.raises(gate.GateError, match="wanted"):
        gate.judge_omp(problem, codes[:1])


def zeros(name: str) -> Contestant:
    def answer(problem: LassoProblem, setting: object, threads: int) -> object:
        return lambda: torch.zeros(len(problem.x), len(problem.dictionary))

    return Contestant(name, name, lambda problem: True, answer, lambda result, problem: result)


def test_a_wrong_peer_gets_a_note_and_a_wrong_sparsedef_fails() -> None:
    from benchmarks.sparsedef_entry import contestant

    def pedantic(run: object, setup: object, rounds: int, **_: object) -> None:
        for _ in range(rounds):
            setup()
            run()

    problem = LASSO["tiny"][0].build()
    row = race(problem, contestant("reference"), [zeros("wrong")], 1, 0.0, pedantic)
    assert row["peers"] == []
    assert "not timed: p99 of the relative duality gap" in row["notes"]["wrong"]
    assert row["ours"]["rounds"] == 3
    with pytest.raises(gate.GateError):
        race(problem, zeros("ours"), [], 1, 0.0, pedantic)
