"""The Triton kernels against closed forms, optimality and the reference, at awkward sizes.

On CPU they run in Triton's interpreter: ``test_triton.py`` starts this file with
``TRITON_INTERPRET=1``. On a machine with a GPU the same tests run on it.
"""

import os

import pytest
import torch
from spies import Reads, Waits
from torch import Tensor

import sparsedef
from sparsedef.backends import BACKENDS, Status
from sparsedef.backends.certificate import relative_gap
from sparsedef.testing import TOLERANCES, make_problem

IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not (IS_INTERPRETED or torch.cuda.is_available()):
    pytest.skip(
        "no CUDA device; test_triton.py runs this file in the interpreter", allow_module_level=True
    )

TRITON = BACKENDS["triton"].functions["lasso"]
REFERENCE = BACKENDS["reference"].functions["lasso"]
# B, M, N; the direct form is for N > 2 M, the Gram form for the others
SHAPES = [(1, 1, 1), (3, 7, 13), (2, 1, 5), (5, 37, 67), (35, 33, 19), (5, 17, 67)]
FORMS = pytest.mark.parametrize("shape", [(5, 13, 21), (5, 13, 43)], ids=["Gram", "direct"])
ALGORITHMS = ["ista", "fista"]
DTYPES = [torch.float32, torch.float64]
Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def problem(
    shape: tuple[int, int, int], device: torch.device, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    x, dictionary = make_problem(*shape, dtype=dtype, correlation=0.2)
    alpha = torch.linspace(0.1, 0.3, shape[0], dtype=dtype)
    return x.to(device), dictionary.to(device), alpha.to(device)


def solve(
    x: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    *,
    ridge: Tensor | None = None,
    init: Tensor | None = None,
    nonnegative: bool = False,
    tol: float = 1e-4,
    max_iter: int = 400,
    algorithm: str = "fista",
    allow_tf32: bool = False,
    slots: int = 0,
    max_memory: int = 0,
) -> Outputs:
    options = (nonnegative, tol, max_iter, algorithm, allow_tf32, slots, max_memory)
    return TRITON(x, dictionary, alpha, ridge, init, *options)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_identity_dictionary_gives_the_soft_threshold(
    device: torch.device, dtype: torch.dtype, nonnegative: bool, algorithm: str
) -> None:
    x, _, alpha = problem((5, 17, 17), device, dtype)
    eye = torch.eye(17, dtype=dtype, device=device)
    tol = TOLERANCES[dtype].gap
    codes = solve(x, eye, alpha, nonnegative=nonnegative, tol=tol, algorithm=algorithm)[1]
    size = (x.abs() - alpha[:, None]).clamp_min(0)
    expected = size * (x > 0) if nonnegative else x.sign() * size
    torch.testing.assert_close(codes, expected, atol=TOLERANCES[dtype].close, rtol=0)


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("has_ridge", [False, True], ids=["", "ridge"])
@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_gap_is_true_and_met(
    device: torch.device, shape: tuple[int, int, int], nonnegative: bool, has_ridge: bool
) -> None:
    x, dictionary, alpha = problem(shape, device)
    ridge = torch.linspace(0, 0.5, shape[2], device=device) if has_ridge else None
    outputs = solve(x, dictionary, alpha, ridge=ridge, nonnegative=nonnegative)
    true_gap = assert_gap_is_true(x, dictionary, alpha, ridge, nonnegative, outputs)
    assert (outputs[5] == int(Status.CONVERGED)).all()
    assert (true_gap <= 1.01e-4).all()


@FORMS
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_gap_is_true_when_steps_may_round_to_tf32(
    device: torch.device, algorithm: str, shape: tuple[int, int, int]
) -> None:
    x, dictionary, alpha = problem(shape, device)
    outputs = solve(x, dictionary, alpha, allow_tf32=True, tol=0, max_iter=21, algorithm=algorithm)
    assert_gap_is_true(x, dictionary, alpha, None, False, outputs)
    near = solve(x, dictionary, alpha, tol=0, max_iter=21, algorithm=algorithm)
    torch.testing.assert_close(outputs[1], near[1], atol=1e-2, rtol=0)  # 10-bit mantissas


def assert_gap_is_true(
    x: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    ridge: Tensor | None,
    nonnegative: bool,
    outputs: Outputs,
) -> Tensor:
    _, codes, residual, gap, _, _ = outputs
    x, dictionary, codes, alpha = x.double(), dictionary.double(), codes.double(), alpha.double()
    ridge = None if ridge is None else ridge.double()
    true_residual = x - codes @ dictionary
    correlations = true_residual @ dictionary.T
    true_gap = relative_gap(x, true_residual, codes, correlations, alpha, nonnegative, ridge)
    torch.testing.assert_close(gap.double(), true_gap, atol=1e-6, rtol=1e-3)
    torch.testing.assert_close(residual.double(), true_residual, atol=1e-6, rtol=0)
    return true_gap


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("has_ridge", [False, True], ids=["", "ridge"])
@pytest.mark.parametrize("max_iter", [0, 1, 24])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_fixed_steps_are_those_of_the_reference(
    device: torch.device,
    shape: tuple[int, int, int],
    max_iter: int,
    has_ridge: bool,
    dtype: torch.dtype,
    algorithm: str,
) -> None:
    x, dictionary, alpha = problem(shape, device, dtype)
    ridge = torch.linspace(0, 0.5, shape[2], dtype=dtype, device=device) if has_ridge else None
    arguments = (x, dictionary, alpha, ridge, None, False, 0.0, max_iter, algorithm, False, 0, 0)
    ours, theirs = TRITON(*arguments), REFERENCE(*arguments)
    close = {torch.float32: 1e-4, torch.float64: 1e-7}[dtype]
    for mine, expected in zip(ours[:4], theirs[:4], strict=True):
        assert mine.dtype == expected.dtype
        torch.testing.assert_close(mine, expected, atol=close, rtol=0)
    assert torch.equal(ours[4], theirs[4])


@FORMS
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_fixed_steps_wait_for_nothing_so_that_a_graph_can_be_captured(
    device: torch.device,
    shape: tuple[int, int, int],
    algorithm: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, dictionary, alpha = problem(shape, device)
    for tol, is_waiting in ((1e-4, True), (0.0, False)):
        with Waits() as waits, Reads() as reads:
            solve(x, dictionary, alpha, tol=tol, max_iter=12, algorithm=algorithm)
        assert bool(waits.seen + reads.seen) == is_waiting
    # around the op: values of the arguments are not read while a graph is captured, as while
    # torch.compile traces
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    with Waits() as waits, Reads() as reads:
        sparsedef.lasso(
            x, dictionary, alpha, algorithm=algorithm, tol=0, max_iter=3, backend="triton"
        )
    assert waits.seen + reads.seen == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_captured_graph_codes_the_signals_that_are_put_in_its_place(
    shape: tuple[int, int, int], algorithm: str
) -> None:
    x, dictionary, alpha = problem(shape, torch.device("cuda"))

    def code(signals: Tensor) -> sparsedef.SparseCode:
        return sparsedef.lasso(
            signals, dictionary, alpha, algorithm=algorithm, tol=0, max_iter=25, backend="triton"
        )

    held, others = x.clone(), x.flip(0) + 0.1
    expected = code(others)  # compiles the kernels, as must be done before a capture
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = code(held)
    held.copy_(others)
    graph.replay()
    assert torch.equal(captured.codes, expected.codes)
    assert torch.equal(captured.residual, expected.residual)
    assert torch.equal(captured.gap, expected.gap)
    with (
        pytest.raises(ValueError, match="while a CUDA graph is captured"),
        torch.cuda.graph(torch.cuda.CUDAGraph()),
    ):
        sparsedef.lasso(held, dictionary, alpha, backend="triton", algorithm=algorithm)


@FORMS
def test_a_signal_does_not_see_its_batch(device: torch.device, shape: tuple[int, int, int]) -> None:
    x, dictionary, alpha = problem(shape, device)
    together = solve(x, dictionary, alpha)
    for i in (0, 2, 4):
        alone = solve(x[i : i + 1], dictionary, alpha[i : i + 1])
        # The last bits may differ: interpreter and GPU sum rows of a tile in their own order.
        for mine, expected in zip(alone[1:4], together[1:4], strict=True):
            torch.testing.assert_close(mine[0], expected[i], atol=1e-5, rtol=0)


@FORMS
def test_max_memory_cuts_the_batch_and_changes_nothing(
    device: torch.device, shape: tuple[int, int, int]
) -> None:
    x, dictionary, alpha = problem(shape, device)
    whole = solve(x, dictionary, alpha, tol=0, max_iter=20)
    with pytest.raises(ValueError, match="max_memory must be at least") as refused:
        solve(x, dictionary, alpha, max_memory=100)
    least = int(str(refused.value).split("at least ")[1].split()[0])
    for memory in (least, 2 * least):  # no room for the Gram matrix; room for it and few signals
        found = solve(x, dictionary, alpha, tol=0, max_iter=20, max_memory=memory)
        for mine, expected in zip(found[1:4], whole[1:4], strict=True):
            torch.testing.assert_close(mine, expected, atol=1e-5, rtol=0)


@pytest.mark.gpu
def test_max_memory_is_kept() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for shape in [(20_000, 64, 128), (20_000, 64, 256)]:
        x, dictionary, alpha = problem(shape, torch.device("cuda"))
        solve(x[:9], dictionary, alpha[:9], tol=0, max_iter=3)  # the library's own workspace
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        outputs = solve(x, dictionary, alpha, tol=0, max_iter=3, max_memory=8 << 20)
        made = sum(each.nbytes for each in outputs)
        assert torch.cuda.max_memory_allocated() - before - made <= 8 << 20


def test_a_bad_signal_is_marked_and_its_neighbours_are_untouched(device: torch.device) -> None:
    x, dictionary, alpha = problem((6, 12, 20), device)
    good = solve(x, dictionary, alpha, slots=12)
    x[1, 3], x[4, 0] = torch.nan, torch.inf
    indices, values, residual, gap, n_iter, status = solve(x, dictionary, alpha, slots=12)
    bad = torch.tensor([False, True, False, False, True, False], device=device)
    assert torch.equal(status == int(Status.NONFINITE), bad)
    assert (indices[bad] == -1).all()
    assert (n_iter[bad] == 0).all()
    for output in (values, residual, gap[:, None]):
        assert torch.equal(output.isnan().all(dim=1), bad)
    assert torch.equal(indices[~bad], good[0][~bad])
    for mine, expected in zip((values, residual, gap), good[1:], strict=False):
        torch.testing.assert_close(mine[~bad], expected[~bad], atol=1e-5, rtol=0)


def test_compact_holds_what_dense_holds_and_says_when_it_cannot(device: torch.device) -> None:
    x, dictionary, alpha = problem((6, 12, 20), device)
    codes = solve(x, dictionary, alpha)[1]
    needed = (codes != 0).sum(dim=1)
    width = int(needed.amax())
    indices, values, *_, status = solve(x, dictionary, alpha, slots=width - 1)
    is_over = needed == width
    assert torch.equal(status == int(Status.OVERFLOW), is_over)
    assert values[is_over].isnan().all()
    spread = torch.zeros_like(codes).scatter_add(1, indices.clamp_min(0), values)
    assert torch.equal(spread[~is_over], codes[~is_over])


def test_nothing_is_done_for_signals_that_are_done(device: torch.device) -> None:
    x, dictionary, alpha = problem((4, 12, 20), device)
    x[0] = 0
    alpha[1] = 2.0  # above every correlation: the answer is 0
    _, codes, _, gap, n_iter, _ = solve(x, dictionary, alpha)
    assert (codes[:2] == 0).all()
    assert (gap[:2] == 0).all()
    assert n_iter[:2].tolist() == [0, 0]
    again = solve(x, dictionary, alpha, init=codes)
    assert torch.equal(again[1], codes)
    assert (again[4] == 0).all()


def test_zero_atoms_stay_unused(device: torch.device) -> None:
    x, dictionary, alpha = problem((3, 12, 20), device)
    dictionary[7] = 0
    codes = solve(x, dictionary, alpha, init=torch.ones(3, 20, device=device), tol=0, max_iter=3)[1]
    assert (codes[:, 7] == 0).all()


def test_an_empty_batch_gives_empty_outputs(device: torch.device) -> None:
    x, dictionary, alpha = problem((0, 12, 20), device)
    shapes = [list(output.shape) for output in solve(x, dictionary, alpha)]
    assert shapes == [[0, 0], [0, 20], [0, 12], [0], [0], [0]]


def test_a_budget_that_runs_out_is_told(device: torch.device) -> None:
    x, dictionary, alpha = problem((3, 12, 20), device)
    *_, gap, n_iter, status = solve(x, dictionary, alpha, tol=1e-6, max_iter=3)
    assert (gap > 1e-6).all()
    assert n_iter.tolist() == [3, 3, 3]
    assert (status == int(Status.MAX_ITER)).all()


def test_the_callers_tensors_are_unchanged(device: torch.device) -> None:
    x, dictionary, alpha = problem((3, 12, 20), device)
    init = torch.full((3, 20), 0.1, device=device)
    before = [tensor.clone() for tensor in (x, dictionary, alpha, init)]
    solve(x, dictionary, alpha, init=init)
    for tensor, old in zip((x, dictionary, alpha, init), before, strict=True):
        assert torch.equal(tensor, old)
