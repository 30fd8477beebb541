"""The atoms' turn: never uphill, at rest only where it should be, alike on all backends."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsedef.backends import BACKENDS, Problem
from sparsedef.testing import able_backends

DTYPES = [torch.float32, torch.float64]
# Rounding of a few hundred operations on numbers of size 1.
CLOSE = {torch.float32: 5e-6, torch.float64: 1e-13}
SHAPES = [(1, 1, 1, 1), (7, 5, 3, 2), (40, 33, 50, 6), (100, 64, 131, 12), (30, 13, 23, 4)]


def drawn_codes(
    n_signals: int, n_features: int, n_atoms: int, k: int, dtype: torch.dtype, positive: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Signals, compact codes with unused slots, and unit atoms."""
    draw = torch.Generator().manual_seed(n_signals)
    x = torch.randn(n_signals, n_features, generator=draw, dtype=torch.float64)
    indices = torch.rand(n_signals, n_atoms, generator=draw).topk(k, dim=1).indices
    values = torch.randn(n_signals, k, generator=draw, dtype=torch.float64)
    atoms = normalize(torch.randn(n_atoms, n_features, generator=draw, dtype=torch.float64), dim=1)
    is_unused = torch.rand(n_signals, k, generator=draw) < 0.3
    indices, values = indices.masked_fill(is_unused, -1), values.masked_fill(is_unused, 0)
    if positive:
        values, atoms = values.abs(), atoms.abs()
    return x.to(dtype), indices, values.to(dtype), atoms.to(dtype)


def statistics(x: Tensor, indices: Tensor, values: Tensor, n_atoms: int) -> tuple[Tensor, ...]:
    return BACKENDS["reference"].functions["code_statistics"](x, indices, values, n_atoms)


def surrogate(atoms: Tensor, gram: Tensor, cross: Tensor) -> float:
    atoms, gram, cross = atoms.double(), gram.double(), cross.double()
    return float((gram @ atoms * atoms).sum() / 2 - (cross * atoms).sum())


def others(op: str, dtype: torch.dtype) -> list[str]:
    names = able_backends(Problem(op, 8, 16, 32, dtype, torch.device("cpu")))
    return [name for name in names if name != "reference"]


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [*SHAPES, (0, 4, 6, 2), (300, 200, 70, 9)], ids=str)
def test_statistics_agree_with_the_dense_products(
    shape: tuple[int, int, int, int], dtype: torch.dtype
) -> None:
    x, indices, values, atoms = drawn_codes(*shape, dtype, positive=False)
    codes = x.new_zeros(len(x), len(atoms)).double()
    codes.scatter_add_(1, indices.clamp_min(0), values.double())
    wanted = (codes.T @ codes, codes.T @ x.double(), (codes != 0).sum(dim=0).double())
    size = max(1.0, float(shape[0]))  # each sum has at most B terms of size 1 to 10
    for name in ["reference", *others("code_statistics", dtype)]:
        found = BACKENDS[name].functions["code_statistics"](x, indices, values, len(atoms))
        for ours, theirs in zip(found, wanted, strict=True):
            assert ours.dtype == dtype
            torch.testing.assert_close(ours.double(), theirs, atol=CLOSE[dtype] * size, rtol=1e-5)


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("unit", [False, True], ids=["ball", "sphere"])
@pytest.mark.parametrize("positive", [False, True], ids=["signed", "positive"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_all_backends_move_the_atoms_alike(
    shape: tuple[int, int, int, int], positive: bool, unit: bool, dtype: torch.dtype
) -> None:
    *codes, atoms = drawn_codes(*shape, dtype, positive)
    gram, cross, _ = statistics(*codes, len(atoms))
    arguments = (atoms, gram, cross, positive, unit, 2)
    before = atoms.clone()
    wanted = BACKENDS["reference"].functions["update_atoms"](*arguments)
    for name in others("update_atoms", dtype):
        found = BACKENDS[name].functions["update_atoms"](*arguments)
        torch.testing.assert_close(found, wanted, atol=CLOSE[dtype], rtol=0)
    assert torch.equal(atoms, before)


@pytest.mark.parametrize("unit", [False, True], ids=["ball", "sphere"])
@pytest.mark.parametrize("positive", [False, True], ids=["signed", "positive"])
@pytest.mark.parametrize("backend", ["reference", *others("update_atoms", torch.float64)])
def test_no_pass_raises_the_surrogate(backend: str, positive: bool, unit: bool) -> None:
    *codes, atoms = drawn_codes(60, 20, 30, 5, torch.float64, positive)
    gram, cross, _ = statistics(*codes, len(atoms))
    update = BACKENDS[backend].functions["update_atoms"]
    value = surrogate(atoms, gram, cross)
    for _ in range(10):
        atoms = update(atoms, gram, cross, positive, unit, 1)
        new = surrogate(atoms, gram, cross)
        assert new <= value + 1e-10 * abs(value)
        value = new
        norms = atoms.norm(dim=1)
        assert (norms <= 1 + 1e-12).all()
        assert not unit or (norms >= 1 - 1e-12).all()
        assert not positive or (atoms >= 0).all()


@pytest.mark.parametrize("positive", [False, True], ids=["signed", "positive"])
@pytest.mark.parametrize("backend", ["reference", *others("update_atoms", torch.float64)])
def test_at_rest_the_atoms_solve_the_constrained_problem(backend: str, positive: bool) -> None:
    """A projected gradient step from the solution of a convex problem goes nowhere."""
    *codes, atoms = drawn_codes(200, 10, 15, 4, torch.float64, positive)
    gram, cross, _ = statistics(*codes, len(atoms))
    cross = 2 * cross  # so that some atoms would be longer than 1
    update = BACKENDS[backend].functions["update_atoms"]
    atoms = update(atoms, gram, cross, positive, False, 1500)
    stepped = atoms - (gram @ atoms - cross) / torch.linalg.eigvalsh(gram)[-1]
    stepped = stepped.clamp_min(0) if positive else stepped
    stepped = stepped / stepped.norm(dim=1, keepdim=True).clamp_min(1)
    assert (stepped - atoms).abs().max() < 1e-9
    norms = atoms.norm(dim=1)
    assert (norms < 0.99).any(), "no atom inside the ball: the test is too easy"
    assert (norms > 1 - 1e-9).any(), "no atom on the sphere: the test is too easy"


@pytest.mark.parametrize("unit", [False, True], ids=["ball", "sphere"])
@pytest.mark.parametrize("backend", ["reference", *others("update_atoms", torch.float32)])
def test_an_atom_that_nothing_used_stays(backend: str, unit: bool) -> None:
    x, indices, values, atoms = drawn_codes(50, 12, 20, 3, torch.float32, positive=False)
    is_unused = indices == 7
    indices, values = indices.masked_fill(is_unused, -1), values.masked_fill(is_unused, 0)
    gram, cross, usage = statistics(x, indices, values, 20)
    assert usage[7] == 0
    moved = BACKENDS[backend].functions["update_atoms"](atoms, gram, cross, False, unit, 1)
    assert torch.equal(moved[7], atoms[7])
    assert moved.isfinite().all()
    still = BACKENDS[backend].functions["update_atoms"](atoms, 0 * gram, 0 * cross, False, unit, 1)
    assert torch.equal(still, atoms)
