"""Each peer is asked for our problem: the conversions of alpha and of the rules are pinned."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import gate
from benchmarks.baselines import BASELINES
from benchmarks.baselines.torch_fista import fista
from benchmarks.contestants import Contestant, Problem, missing_library
from benchmarks.omp_problems import OMP, PATCHES, OmpProblem, OmpSpec, PatchProblem, PatchSpec
from benchmarks.problems import LASSO, LassoProblem, LassoSpec

Spec = LassoSpec | OmpSpec | PatchSpec
ROOT = Path(__file__).parents[2]


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
    rest = (none, none, spec.n_nonzero, spec.selection)
    if isinstance(spec, OmpSpec):
        return OmpProblem(spec.name, *rest)
    return PatchProblem(spec.name, none, *rest)


def double(problem: LassoProblem) -> LassoProblem:
    return replace(problem, x=problem.x.double(), dictionary=problem.dictionary.double())


def answer(peer: Contestant, problem: Problem, setting: object) -> torch.Tensor:
    if peer.missing is not None:
        pytest.skip(peer.missing)
    return peer.to_answer(peer.prepare(problem, setting, 1)(), problem)


@pytest.mark.parametrize(("peer", "spec"), pairs(LASSO["tiny"]))
def test_a_lasso_peer_minimises_our_objective_and_no_rescaled_one(
    peer: Contestant, spec: LassoSpec
) -> None:
    problem = double(spec.build())
    codes = answer(peer, problem, peer.settings[-1])
    gate.judge_lasso(problem, codes, target=1e-6)
    with pytest.raises(gate.GateError):
        gate.judge_lasso(replace(problem, alpha=problem.alpha * 1.1), codes, target=1e-6)


# Its loop over signals leaves the codes of a single one unfinished: such a peer gets a note.
BROKEN = {("ompgpu.naive", 1)}


@pytest.mark.parametrize(("peer", "spec"), pairs(OMP["tiny"]))
def test_a_pursuit_peer_follows_the_rule_that_it_is_compared_by(
    peer: Contestant, spec: OmpSpec
) -> None:
    problem = spec.build()
    codes = answer(peer, problem, peer.settings[-1])
    if (peer.name, spec.n_signals) in BROKEN:
        with pytest.raises(gate.GateError):
            gate.judge_omp(problem, codes)
    else:
        gate.judge_omp(problem, codes)


@pytest.mark.parametrize(("peer", "spec"), pairs(PATCHES["tiny"]))
def test_a_peers_pipeline_rebuilds_the_image(peer: Contestant, spec: PatchSpec) -> None:
    problem = spec.build()
    images = answer(peer, problem, None)
    gate.judge_patches(problem, images)
    other = problem.by("ols" if problem.selection == "omp" else "omp")
    with pytest.raises(gate.GateError, match="1 in 100 pixels is"):
        gate.judge_patches(other, images)


def test_spams_omp_is_the_ols_rule() -> None:
    (peer,) = (peer for peer in BASELINES if peer.name == "spams.omp")
    by_omp, by_ols = (spec.build() for spec in OMP["tiny"][:2])
    assert by_omp.by("ols").name == by_ols.name
    assert peer.accepts(by_ols)
    assert not peer.accepts(by_omp)
    with pytest.raises(gate.GateError, match="not the omp rule"):
        gate.judge_omp(by_omp, answer(peer, by_ols, None))


def test_float64_contestants_get_float64_and_come_closer() -> None:
    spec = LASSO["tiny"][0]
    problem = spec.build()
    doubles = [peer for peer in BASELINES if peer.name.endswith(" f64") and peer.accepts(problem)]
    assert {"spams.lasso f64", "spams.lasso(cholesky) f64", "spams.cd f64"} <= {
        peer.name for peer in doubles
    }
    for peer in doubles:
        if peer.missing is None:
            codes = peer.to_answer(peer.prepare(problem, peer.settings[-1], 1)(), problem)
            assert codes.dtype == torch.float64, peer.name
            gate.judge_lasso(problem, codes, target=1e-6)


@pytest.mark.parametrize("n_atoms", [32, 128])
@pytest.mark.parametrize("nonnegative", [False, True])
def test_fista_converges_in_both_its_forms(n_atoms: int, nonnegative: bool) -> None:
    problem = double(LassoSpec("concepts", 8, 32, n_atoms, 0.1, nonnegative).build())
    gaps = [
        float(
            gate.lasso_gap(
                problem, fista(problem.x, problem.dictionary, 0.1, nonnegative, n_steps)
            ).max()
        )
        for n_steps in (10, 2000)
    ]
    assert gaps[1] < 1e-10 < gaps[0]


ABSENT = """
import sys
sys.modules["celer"] = sys.modules["skglm"] = None
from benchmarks.baselines import BASELINES
from benchmarks.contestants import Contestant
from benchmarks.problems import LASSO
from benchmarks.race import race
from benchmarks.sparsedef_entry import contestant

def pedantic(run, setup, rounds, **_):
    for _ in range(rounds):
        setup()
        run()

peers = [peer for peer in BASELINES if peer.library in ("celer", "skglm", "torch")]
row = race(LASSO["tiny"][0].build(), contestant("reference"), peers, 1, 0.0, pedantic)
print([peer["name"] for peer in row["peers"]], row["notes"])
"""


def test_without_celer_and_skglm_their_rows_are_notes() -> None:
    done = subprocess.run([sys.executable, "-c", ABSENT], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("['torch FISTA']")
    for name in ("celer", "celer f64", "skglm", "skglm f64"):
        assert f"'{name}': '{name.split()[0]} is not installed" in done.stdout


def test_an_absent_library_is_a_note() -> None:
    assert missing_library("torch", "torch") is None
    note = missing_library("no_such_library", "its-package")
    assert note is not None
    assert note.startswith("its-package is not installed")
