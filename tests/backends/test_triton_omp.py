"""The Triton kernels of OMP against the reference, at awkward sizes.

On CPU they run in Triton's interpreter: ``test_triton.py`` starts this file with
``TRITON_INTERPRET=1``. On a machine with a GPU the same tests run on it.
"""

import os
import warnings

import pytest
import torch
from torch import Tensor

from sparsedef import omp
from sparsedef.backends import BACKENDS, Status
from sparsedef.testing import TOLERANCES, make_problem

if not (os.environ.get("TRITON_INTERPRET") == "1" or torch.cuda.is_available()):
    pytest.skip(
        "no CUDA device; test_triton.py runs this file in the interpreter", allow_module_level=True
    )

TRITON = BACKENDS["triton"].functions["omp"]
REFERENCE = BACKENDS["reference"].functions["omp"]
# B, M, N: one of all; N a bit more than two tiles; M of more than one span and N of one tile
SHAPES = [(1, 1, 1), (3, 7, 13), (5, 37, 67), (2, 300, 32)]
DTYPES = [torch.float32, torch.float64]
SELECTIONS = ["omp", "ols"]
Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def both(
    x: Tensor,
    dictionary: Tensor,
    n_nonzero: int,
    selection: str,
    *,
    tol: Tensor | None = None,
    limits: Tensor | None = None,
    nonnegative: bool = False,
    max_memory: int = 0,
) -> tuple[Outputs, Outputs]:
    tol = x.new_zeros(len(x)) if tol is None else tol
    arguments = (x, dictionary, tol, limits, n_nonzero, selection, nonnegative)
    return TRITON(*arguments, max_memory), REFERENCE(*arguments, 0)


def assert_same(found: Outputs, expected: Outputs) -> None:
    close = 10 * TOLERANCES[found[1].dtype].close
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == theirs.dtype or mine.dtype == torch.int32
        assert mine.shape == theirs.shape
    assert torch.equal(found[0], expected[0])
    for mine, theirs in zip(found[1:3], expected[1:3], strict=True):
        torch.testing.assert_close(mine, theirs, atol=close, rtol=0, equal_nan=True)
    for mine, theirs in zip(found[3:], expected[3:], strict=True):
        assert torch.equal(mine.long(), theirs.long())


@pytest.mark.parametrize("nonnegative", [False, True], ids=["signed", "nonnegative"])
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_finds_what_the_reference_finds(
    device: torch.device,
    shape: tuple[int, int, int],
    dtype: torch.dtype,
    selection: str,
    nonnegative: bool,
) -> None:
    x, dictionary = (each.to(device) for each in make_problem(*shape, dtype=dtype))
    n_nonzero = min(4, *shape[1:])
    assert_same(*both(x, dictionary, n_nonzero, selection, nonnegative=nonnegative))


def test_more_signals_than_a_tile_and_more_atoms_than_a_group_of_directions(
    device: torch.device,
) -> None:
    x, dictionary = (each.to(device) for each in make_problem(34, 9, 33, dtype=torch.float32))
    assert_same(*both(x, dictionary, 2, "omp"))
    x, dictionary = (each.to(device) for each in make_problem(2, 40, 50, dtype=torch.float64))
    assert_same(*both(x, dictionary, 18, "ols"))


@pytest.mark.parametrize("selection", SELECTIONS)
def test_limits_and_tolerances_are_kept_signal_by_signal(
    device: torch.device, selection: str
) -> None:
    x, dictionary = (each.to(device) for each in make_problem(9, 12, 40, dtype=torch.float64))
    limits = torch.tensor([0, 1, 2, 3, 9, 4, 4, 4, 4], dtype=torch.int32, device=device)
    tol = x.square().sum(dim=1) * torch.tensor([0, 0, 0, 0, 0, 0.5, 0.1, 2, 0], device=device)
    found, expected = both(x, dictionary, 4, selection, tol=tol, limits=limits)
    assert_same(found, expected)
    assert found[3][[0, 1, 2, 3, 4, 7, 8]].tolist() == [0, 1, 2, 3, 4, 0, 4]
    left = found[2].square().sum(dim=1)
    assert (left[[5, 6, 7]] <= tol[[5, 6, 7]]).all()


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bad_and_extreme_signals_do_not_touch_their_neighbours(
    device: torch.device, dtype: torch.dtype, selection: str
) -> None:
    x, dictionary = (each.to(device) for each in make_problem(7, 12, 40, dtype=dtype))
    good = both(x, dictionary, 4, selection)[0]
    x[1, 3], x[4, 0], x[5] = torch.nan, torch.inf, 0
    x[6] *= 2.0**-120
    found, expected = both(x, dictionary, 4, selection)
    assert_same(found, expected)
    assert found[4].tolist() == [0, Status.NONFINITE, 0, 0, Status.NONFINITE, 0, 0]
    kept = torch.tensor([0, 2, 3], device=device)
    for mine, before in zip(found, good, strict=True):
        torch.testing.assert_close(mine[kept], before[kept], atol=1e-6, rtol=0)
    assert torch.equal(found[0][6], good[0][6])
    torch.testing.assert_close(found[1][6] * 2.0**120, good[1][6], atol=1e-6, rtol=0)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_of_equal_scores_the_lowest_index_wins(device: torch.device, selection: str) -> None:
    # Whole numbers: every product is exact. Each atom comes some 28 times, in all tiles.
    dictionary = torch.eye(4, device=device).repeat(30, 1)[:113]
    x = torch.tensor([[0, 0, 0, 5.0], [0, -3, 0, 3], [2, 2, 2, 2]], device=device)
    found, expected = both(x, dictionary, 3, selection)
    assert_same(found, expected)
    assert found[0].tolist() == [[3, -1, -1], [1, 3, -1], [0, 1, 2]]


@pytest.mark.parametrize("nonnegative", [False, True], ids=["signed", "nonnegative"])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_dependent_atoms_exhaust_a_signal(
    device: torch.device, selection: str, nonnegative: bool
) -> None:
    dictionary = torch.eye(6, device=device)[[0, 0, 1, 1]]
    x = torch.tensor([[2.0, 1, 0, 0, 0, 0], [2, 0, 1, 0, 0, 0]], device=device)
    found, expected = both(x, dictionary, 4, selection, nonnegative=nonnegative)
    assert_same(found, expected)
    assert found[0].tolist() == [[0, 2, -1, -1], [0, -1, -1, -1]]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_nonnegative_supports_lose_atoms_as_the_reference_says(
    device: torch.device, selection: str
) -> None:
    generator = torch.Generator().manual_seed(1)
    dictionary = torch.randn(30, 10, generator=generator, dtype=torch.float64) + 0.8
    dictionary = (dictionary / dictionary.norm(dim=1, keepdim=True)).to(device)
    x = (torch.randn(9, 10, generator=generator, dtype=torch.float64) + 0.5).to(device)
    found, expected = both(x, dictionary, 7, selection, nonnegative=True)
    assert_same(found, expected)
    assert ((found[1] > 0) == (found[0] >= 0)).all()
    fewer = [
        REFERENCE(x, dictionary, x.new_zeros(9), None, k, selection, True, 0)[0] for k in (4, 5, 6)
    ]
    lost = [
        set(row.tolist()) - {-1} - set(last.tolist())
        for less in fewer
        for row, last in zip(less, found[0], strict=True)
    ]
    assert any(lost), "nothing was dropped: the test tests nothing"


@pytest.mark.parametrize("nonnegative", [False, True], ids=["signed", "nonnegative"])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_max_memory_cuts_the_batch_and_changes_nothing(
    device: torch.device, selection: str, nonnegative: bool
) -> None:
    x, dictionary = (each.to(device) for each in make_problem(3, 12, 40, dtype=torch.float64))
    whole, _ = both(x, dictionary, 4, selection, nonnegative=nonnegative)
    with pytest.raises(ValueError, match="omp: max_memory must be at least") as refused:
        both(x, dictionary, 4, selection, max_memory=100)
    least = int(str(refused.value).split("at least ")[1].split()[0])
    for memory in (least, 2 * least):
        found, _ = both(x, dictionary, 4, selection, nonnegative=nonnegative, max_memory=memory)
        assert_same(found, whole)


def test_an_empty_batch_gives_empty_outputs(device: torch.device) -> None:
    x, dictionary = (each.to(device) for each in make_problem(0, 12, 20, dtype=torch.float32))
    assert [list(each.shape) for each in both(x, dictionary, 3, "omp")[0]] == [
        [0, 3],
        [0, 3],
        [0, 12],
        [0],
        [0],
    ]


def test_the_result_names_it(device: torch.device) -> None:
    x, dictionary = (each.to(device) for each in make_problem(2, 12, 20, dtype=torch.float32))
    assert omp(x, dictionary, 3, backend="triton").backend == "triton"


@pytest.mark.gpu
def test_it_waits_for_the_gpu_every_eight_steps() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    x, dictionary = (each.cuda() for each in make_problem(50, 64, 300, dtype=torch.float32))
    both(x, dictionary, 20, "omp")
    arguments = (x, dictionary, x.new_zeros(50), None, 20, "omp", False, 0)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            TRITON(*arguments)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len([each for each in caught if "synchroniz" in str(each.message)]) <= 2
