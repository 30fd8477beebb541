"""ISTA and FISTA of the C++ backend: the reference's steps, in both forms, within its memory."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_C = pytest.importorskip("sparsedef._C", reason="the native module is not built")
from sparsedef.backends import BACKENDS, Status  # noqa: E402
from sparsedef.testing import make_problem  # noqa: E402

CPP = BACKENDS["cpp"].functions["lasso"]
REFERENCE = BACKENDS["reference"].functions["lasso"]
GRAM, DIRECT = (19, 33, 47), (19, 16, 75)  # B, M, N: the Gram form is for N <= 2 M
FORMS = pytest.mark.parametrize("shape", [GRAM, DIRECT], ids=["Gram", "direct"])
ALGORITHMS = pytest.mark.parametrize("algorithm", ["ista", "fista"])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
CLOSE = {torch.float32: 1e-5, torch.float64: 1e-12}  # after few steps: rounding
Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    yield
    torch.set_num_threads(1)
    _C.set_isa("auto")


def problem(
    shape: tuple[int, int, int], dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    x, dictionary = make_problem(*shape, dtype=dtype, correlation=0.2)
    return x, dictionary, torch.linspace(0.05, 0.3, shape[0], dtype=dtype)


def solve(
    x: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    *,
    ridge: Tensor | None = None,
    init: Tensor | None = None,
    nonnegative: bool = False,
    tol: float = 1e-5,
    max_iter: int = 5000,
    algorithm: str = "fista",
    slots: int = 0,
    max_memory: int = 0,
    solver: object = CPP,
) -> Outputs:
    options = (nonnegative, tol, max_iter, algorithm, False, slots, max_memory)
    assert callable(solver)
    return solver(x, dictionary, alpha, ridge, init, *options)


def assert_close(found: Outputs, expected: Outputs, close: float) -> None:
    for ours, theirs in zip(found[1:4], expected[1:4], strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, atol=close, rtol=0)


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("max_iter", [0, 1, 2, 37])
@pytest.mark.parametrize("has_ridge", [False, True], ids=["", "ridge"])
@pytest.mark.parametrize("nonnegative", [False, True], ids=["signed", "nonnegative"])
@ALGORITHMS
@DTYPES
@FORMS
def test_fixed_steps_are_those_of_the_reference(
    shape: tuple[int, int, int],
    dtype: torch.dtype,
    algorithm: str,
    nonnegative: bool,
    has_ridge: bool,
    max_iter: int,
) -> None:
    x, dictionary, alpha = problem(shape, dtype)
    ridge = torch.linspace(0, 0.5, shape[2], dtype=dtype) if has_ridge else None
    options = {"ridge": ridge, "nonnegative": nonnegative, "algorithm": algorithm}
    found = solve(x, dictionary, alpha, tol=0.0, max_iter=max_iter, **options)
    expected = solve(x, dictionary, alpha, tol=0.0, max_iter=max_iter, solver=REFERENCE, **options)
    assert_close(found, expected, CLOSE[dtype])
    assert (found[4] == max_iter).all()
    assert torch.equal(found[5] == int(Status.CONVERGED), found[3] == 0)


@pytest.mark.usefixtures("nan_filled_memory")
@ALGORITHMS
@FORMS
def test_unequal_signals_leave_one_by_one_after_the_references_steps(
    shape: tuple[int, int, int], algorithm: str
) -> None:
    x, dictionary, _ = problem(shape)
    x[3] = 0
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    alpha = torch.logspace(-1.5, 0.2, len(x), dtype=x.dtype)[order]
    options = {"tol": 1e-5, "max_iter": 20_000, "algorithm": algorithm}
    found = solve(x, dictionary, alpha, **options)
    expected = solve(x, dictionary, alpha, solver=REFERENCE, **options)
    assert len(found[4].unique()) > 5
    assert found[4][3] == 0
    assert (found[5] == int(Status.CONVERGED)).all()
    assert ((found[4] - expected[4]).abs() <= 10).all()  # a gap at the tolerance may round over it
    assert_close(found, expected, 1e-5)
    for i in (0, 3, 7):
        alone = solve(x[i : i + 1], dictionary, alpha[i : i + 1], **options)
        assert_close(alone, tuple(each[i : i + 1] for each in found), 1e-5)


@FORMS
def test_a_ridge_is_one_more_feature_of_each_atom(shape: tuple[int, int, int]) -> None:
    x, dictionary, alpha = problem(shape)
    ridge = torch.linspace(0, 0.5, shape[2], dtype=x.dtype)
    longer = torch.cat([dictionary, ridge.sqrt().diag()], dim=1)
    signals = torch.cat([x, x.new_zeros(len(x), shape[2])], dim=1)
    found = solve(x, dictionary, alpha, ridge=ridge, tol=1e-12)
    expected = solve(signals, longer, alpha, tol=1e-12)
    torch.testing.assert_close(found[1], expected[1], atol=1e-6, rtol=0)
    again = solve(signals, longer, alpha, init=found[1], tol=0, max_iter=0)
    torch.testing.assert_close(found[3], again[3], atol=1e-15, rtol=1e-3)


@pytest.mark.parametrize("isa", _C.capabilities()["supported_isas"])
@pytest.mark.parametrize("nonnegative", [False, True], ids=["signed", "nonnegative"])
@ALGORITHMS
@DTYPES
@FORMS
def test_every_instruction_set_gives_the_same_bits(
    shape: tuple[int, int, int], dtype: torch.dtype, algorithm: str, nonnegative: bool, isa: str
) -> None:
    x, dictionary, alpha = problem(shape, dtype)
    ridge = torch.linspace(0, 0.5, shape[2], dtype=dtype)
    options = {"ridge": ridge, "nonnegative": nonnegative, "algorithm": algorithm}
    _C.set_isa("baseline")
    expected = solve(x, dictionary, alpha, max_iter=25, tol=1e-3, **options)
    _C.set_isa(isa)
    found = solve(x, dictionary, alpha, max_iter=25, tol=1e-3, **options)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)


@FORMS
def test_threads_change_nothing_but_rounding(shape: tuple[int, int, int]) -> None:
    x, dictionary, alpha = problem((2000, *shape[1:]))
    expected = solve(x, dictionary, alpha, tol=0, max_iter=20)
    torch.set_num_threads(3)
    assert_close(solve(x, dictionary, alpha, tol=0, max_iter=20), expected, 1e-12)


class Peak(TorchDispatchMode):
    """Follows how many bytes are held by tensors that torch makes while it is on."""

    def __init__(self, *known: Tensor) -> None:
        super().__init__()
        self.known = {each.untyped_storage().data_ptr() for each in known}
        self.held: dict[int, tuple[StorageWeakRef, int]] = {}
        self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        self.held = {key: held for key, held in self.held.items() if not held[0].expired()}
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in self.known:
                    self.held[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.most = max(self.most, sum(size for _, size in self.held.values()))
        return out


@pytest.mark.parametrize("layout", ["dense", "compact"])
@pytest.mark.parametrize("with_init", [False, True], ids=["", "init"])
@pytest.mark.parametrize("memory", [100_000, 1_000_000])
@ALGORITHMS
@FORMS
def test_max_memory_is_kept_and_changes_nothing(
    shape: tuple[int, int, int], algorithm: str, memory: int, with_init: bool, layout: str
) -> None:
    x, dictionary, alpha = problem((300, *shape[1:]))
    init = torch.full((300, shape[2]), 0.01, dtype=x.dtype) if with_init else None
    slots = 0 if layout == "dense" else shape[2]
    options = {"init": init, "algorithm": algorithm, "tol": 1e-2, "slots": slots}
    expected = solve(x, dictionary, alpha, **options)
    known = [x, dictionary, alpha] + ([] if init is None else [init])
    with Peak(*known) as peak:
        found = solve(x, dictionary, alpha, max_memory=memory, **options)
    assert_close(found, expected, 1e-9)
    assert (found[3] <= 1e-2).all()
    assert peak.most - sum(each.nbytes for each in found) <= memory


@FORMS
def test_too_little_memory_is_refused_with_what_would_do(shape: tuple[int, int, int]) -> None:
    x, dictionary, alpha = problem(shape)
    with pytest.raises(ValueError, match="max_memory must be at least") as refused:
        solve(x, dictionary, alpha, max_memory=100)
    least = int(str(refused.value).split("at least ")[1].split()[0])
    expected = solve(x, dictionary, alpha, tol=0, max_iter=30)
    found = solve(x, dictionary, alpha, tol=0, max_iter=30, max_memory=least)
    assert_close(found, expected, 1e-12)
    with pytest.raises(ValueError, match=f"at least {least} "):
        solve(x, dictionary, alpha, max_memory=least - 8)


@pytest.mark.usefixtures("nan_filled_memory")
@FORMS
def test_a_bad_signal_is_marked_and_its_neighbours_are_untouched(
    shape: tuple[int, int, int],
) -> None:
    x, dictionary, alpha = problem(shape)
    good = solve(x, dictionary, alpha)
    x[1, 3], x[4, 0] = torch.nan, torch.inf
    indices, values, residual, gap, n_iter, status = found = solve(x, dictionary, alpha)
    bad = torch.zeros(len(x), dtype=torch.bool)
    bad[[1, 4]] = True
    assert torch.equal(status == int(Status.NONFINITE), bad)
    assert (n_iter[bad] == 0).all()
    assert indices.shape == (len(x), 0)
    for output in (values, residual, gap[:, None]):
        assert torch.equal(output.isnan().all(dim=1), bad)
    kept = [tuple(each[~bad] for each in outputs) for outputs in (found, good)]
    assert_close(kept[0], kept[1], 1e-6)


@FORMS
def test_an_empty_batch_gives_empty_outputs(shape: tuple[int, int, int]) -> None:
    x, dictionary, alpha = problem((0, *shape[1:]))
    shapes = [list(output.shape) for output in solve(x, dictionary, alpha, slots=5)]
    assert shapes == [[0, 5], [0, 5], [0, shape[1]], [0], [0], [0]]


@FORMS
def test_compact_holds_what_dense_holds_and_says_when_it_cannot(
    shape: tuple[int, int, int],
) -> None:
    x, dictionary, alpha = problem(shape)
    codes = solve(x, dictionary, alpha)[1]
    needed = (codes != 0).sum(dim=1)
    width = int(needed.amax())
    indices, values, *_, status = solve(x, dictionary, alpha, slots=width - 1)
    is_over = needed == width
    assert torch.equal(status == int(Status.OVERFLOW), is_over)
    assert values[is_over].isnan().all()
    spread = torch.zeros_like(codes).scatter_add(1, indices.clamp_min(0), values)
    assert torch.equal(spread[~is_over], codes[~is_over])


@FORMS
def test_a_start_at_the_solution_takes_no_step(shape: tuple[int, int, int]) -> None:
    x, dictionary, alpha = problem(shape)
    codes = solve(x, dictionary, alpha)[1]
    again = solve(x, dictionary, alpha, init=codes)
    assert torch.equal(again[1], codes)
    assert (again[4] == 0).all()


@FORMS
def test_zero_atoms_stay_unused(shape: tuple[int, int, int]) -> None:
    x, dictionary, alpha = problem(shape)
    dictionary[7] = 0
    init = torch.ones(len(x), shape[2], dtype=x.dtype)
    codes = solve(x, dictionary, alpha, init=init, tol=0, max_iter=3)[1]
    assert (codes[:, 7] == 0).all()


@pytest.mark.parametrize("power", [-80, 80])
@FORMS
def test_signals_far_from_one_have_the_same_bits(shape: tuple[int, int, int], power: int) -> None:
    x, dictionary, alpha = problem(shape, torch.float32)
    found = solve(x * 2.0**power, dictionary, alpha * 2.0**power)
    expected = solve(x, dictionary, alpha)
    assert torch.equal(found[1], expected[1] * 2.0**power)
    assert torch.equal(found[2], expected[2] * 2.0**power)
    assert torch.equal(found[3], expected[3])


@FORMS
def test_leave_to_multiply_in_bfloat16_is_not_taken(shape: tuple[int, int, int]) -> None:
    x, dictionary, alpha = problem((500, *shape[1:]), torch.float32)
    expected = solve(x, dictionary, alpha, tol=0, max_iter=5)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        found = solve(x, dictionary, alpha, tol=0, max_iter=5)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)


@FORMS
def test_the_callers_tensors_are_unchanged(shape: tuple[int, int, int]) -> None:
    x, dictionary, alpha = problem(shape)
    init = torch.full((len(x), shape[2]), 0.1, dtype=x.dtype)
    ridge = torch.linspace(0, 0.5, shape[2], dtype=x.dtype)
    inputs = (x, dictionary, alpha, init, ridge)
    before = [tensor.clone() for tensor in inputs]
    solve(x, dictionary, alpha, init=init, ridge=ridge)
    for tensor, old in zip(inputs, before, strict=True):
        assert torch.equal(tensor, old)
