"""The gate lets right answers through and stops every kind of wrong one."""

from dataclasses import replace

import pytest
import torch

import sparsedef
from benchmarks import gate
from benchmarks.contestants import Contestant
from benchmarks.omp_problems import OMP, PATCHES, OmpProblem, OmpSpec, PatchSpec
from benchmarks.photographs import patch_dictionary, patches
from benchmarks.problems import LASSO, LassoProblem
from benchmarks.pursuit import is_a_way, least_squares, pursue, supports
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
    if spec.n_signals > 1:
        other = "ols" if problem.selection == "omp" else "omp"
        with pytest.raises(gate.GateError, match=f"not the {problem.selection} rule"):
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


def one_wrong(selection: str) -> tuple[OmpProblem, torch.Tensor]:
    """Right codes of 200 signals, but the last atom of one signal is the second best."""
    x, dictionary = patches(200), patch_dictionary(32)
    problem = OmpProblem("one wrong", x, dictionary, 3, selection)
    indices, _ = pursue(x, dictionary, 3, selection)
    first_two, without = indices[7, :2], indices[7, 2]
    rest = torch.arange(32)
    rest = rest[(rest[:, None] != torch.cat([first_two, without[None]])).all(dim=1)]
    fits = [torch.cat([first_two, atom[None]])[None] for atom in rest]
    left = [
        float((x[7] - least_squares(x[7:8], dictionary, own) @ dictionary[own[0]]).norm())
        for own in fits
    ]
    indices[7] = fits[left.index(min(left))][0]
    codes = torch.zeros(200, 32).double()
    codes.scatter_(1, indices, least_squares(x.double(), dictionary.double(), indices))
    return problem, codes


@pytest.mark.parametrize("selection", ["omp", "ols"])
def test_one_second_best_atom_among_many_signals_is_found(selection: str) -> None:
    problem, codes = one_wrong(selection)
    with pytest.raises(gate.GateError, match="signal 7 is no tie"):
        gate.judge_omp(problem, codes)


@pytest.mark.parametrize("selection", ["omp", "ols"])
def test_a_tie_may_be_broken_either_way_and_only_a_tie(selection: str) -> None:
    atoms = torch.eye(6).double()[:4]
    tied = torch.tensor([2.0, 1.0, 1.0 - 1e-6, 0.5, 0.0, 0.0]).double()
    for support, is_right in (([0, 1], True), ([0, 2], True), ([0, 3], False), ([1, 2], False)):
        assert is_a_way(tied, atoms, support, 2, selection, gate.TIE) is is_right
    assert not is_a_way(tied, atoms, [0, 2], 2, selection, 1e-8)


def test_after_a_tie_the_support_is_followed_in_any_of_its_orders() -> None:
    # 0 and 1 tie; after 1 comes 0, the best that is left; after 0 comes 3, and 1 never.
    atoms = torch.tensor([[1.0, 0, 0], [0.6, 0.8, 0], [0, 0, 1], [0, 1, 0]]).double()
    signal = torch.tensor([1.0 + 1e-6, 0.5, 0.3]).double()
    assert pursue(signal[None], atoms, 2, "omp")[0].tolist() == [[0, 3]]
    assert is_a_way(signal, atoms, [0, 3], 2, "omp", gate.TIE)
    assert is_a_way(signal, atoms, [0, 1], 2, "omp", gate.TIE)
    assert not is_a_way(signal, atoms, [1, 3], 2, "omp", gate.TIE)


def test_rounding_is_amplified_by_atoms_that_nearly_depend_on_one_another() -> None:
    # After 0 and its twin, at norm 0.03 from it, scores that differ by 10 roundings count as tied.
    twin = torch.tensor([1.0, 0.03, 0.0, 0.0]) / (1 + 0.03**2) ** 0.5
    apart = torch.eye(4).double()
    near = torch.cat([apart[:1], twin[None].double(), apart[2:]])
    signal = torch.tensor([1.0, 0.5, 0.4 + 10 * gate.TIE, 0.4]).double()
    assert is_a_way(signal, near, [0, 1, 3], 3, "ols", gate.TIE)
    assert not is_a_way(signal, apart, [0, 1, 3], 3, "ols", gate.TIE)


def test_a_support_that_ends_too_early_is_no_way_of_a_pursuit() -> None:
    signal = torch.tensor([2.0, 1.0, 0.0]).double()
    assert is_a_way(signal, torch.eye(3), [0, 1], 3, "omp", gate.TIE)  # nothing is left
    assert not is_a_way(signal, torch.eye(3), [0], 3, "omp", gate.TIE)


def test_the_float64_pursuit_is_the_reference_backends() -> None:
    problem = OMP["tiny"][0].build()
    codes = pursuit(replace(problem, x=problem.x.double(), dictionary=problem.dictionary.double()))
    indices, residual = pursue(problem.x, problem.dictionary, problem.n_nonzero, "omp")
    assert torch.equal(supports(indices, 32), codes != 0)
    values = least_squares(problem.x.double(), problem.dictionary.double(), indices)
    assert torch.allclose(values, codes.gather(1, indices), atol=1e-10)
    assert torch.allclose(residual, problem.x - codes @ problem.dictionary.double(), atol=1e-10)


@pytest.mark.parametrize("spec", PATCHES["tiny"], ids=lambda spec: spec.name)
def test_a_right_image_passes_and_a_wrong_one_does_not(spec: PatchSpec) -> None:
    problem = spec.build()
    x, dictionary = problem.images, problem.dictionary
    options = {"standardize": "mean", "selection": problem.selection, "backend": "reference"}
    images = sparsedef.patch_omp(x, dictionary, problem.n_nonzero, **options).images
    assert gate.judge_patches(problem, images).value < 1e-5
    one_off = images.clone()
    one_off[..., 5, 5] += 0.02
    for wrong in (images + 2e-4, one_off, x, images * torch.nan):
        with pytest.raises(gate.GateError, match="1 in 100 pixels is"):
            gate.judge_patches(problem, wrong)
    with pytest.raises(gate.GateError, match="wanted"):
        gate.judge_patches(problem, images[:, :, 1:])


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
