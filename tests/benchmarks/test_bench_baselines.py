"""Each peer is asked for our problem: the conversions of alpha and of the rules are pinned."""

from dataclasses import replace

import pytest
import torch

from benchmarks import gate
from benchmarks.baselines import BASELINES
from benchmarks.contestants import Contestant, Problem, missing_library
from benchmarks.problems import LASSO, OMP, LassoProblem, LassoSpec, OmpProblem, OmpSpec

Spec = LassoSpec | OmpSpec


def pairs(specs: tuple[Spec, ...]) -> list[object]:
    """All peers with all problems that they do; the problems are not built yet."""
    return [
        pytest.param(peer, spec, id=f"{peer.name} {spec.name}")
        for spec in specs
        for peer in BASELINES
        if peer.accepts(outline(spec))
    ]


def outline(spec: Spec) -> Problem:
    none = torch.empty(0)
    if isinstance(spec, LassoSpec):
        return LassoProblem(spec.name, none, none, spec.alpha, spec.nonnegative)
    return OmpProblem(spec.name, none, none, spec.n_nonzero, spec.selection)


def double(problem: Problem) -> Problem:
    return replace(problem, x=problem.x.double(), dictionary=problem.dictionary.double())


def answer(peer: Contestant, problem: Problem, setting: object) -> torch.Tensor:
    if peer.missing is not None:
        pytest.skip(peer.missing)
    return peer.to_codes(peer.prepare(problem, setting, 1)(), problem)


@pytest.mark.parametrize(("peer", "spec"), pairs(LASSO["tiny"]))
def test_a_lasso_peer_minimises_our_objective_and_no_rescaled_one(
    peer: Contestant, spec: LassoSpec
) -> None:
    problem = double(spec.build())
    assert isinstance(problem, LassoProblem)
    codes = answer(peer, problem, peer.settings[-1])
    gate.judge_lasso(problem, codes, target=1e-6)
    with pytest.raises(gate.GateError):
        gate.judge_lasso(replace(problem, alpha=problem.alpha * 1.1), codes, target=1e-6)


@pytest.mark.parametrize(("peer", "spec"), pairs(OMP["tiny"]))
def test_a_pursuit_peer_follows_the_rule_that_it_is_compared_by(
    peer: Contestant, spec: OmpSpec
) -> None:
    problem = spec.build()
    gate.judge_omp(problem, answer(peer, problem, peer.settings[-1]))


def test_spams_omp_is_the_ols_rule() -> None:
    (peer,) = (peer for peer in BASELINES if peer.name == "spams.omp")
    by_omp, by_ols = (spec.build() for spec in OMP["tiny"][:2])
    assert peer.accepts(by_ols)
    assert not peer.accepts(by_omp)
    with pytest.raises(gate.GateError, match="not the omp rule"):
        gate.judge_omp(by_omp, answer(peer, by_ols, None))


def test_an_absent_library_is_a_note() -> None:
    assert missing_library("torch", "torch") is None
    note = missing_library("no_such_library", "its-package")
    assert note is not None
    assert note.startswith("its-package is not installed")
