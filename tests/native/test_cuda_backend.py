"""The CUDA backend's Python, with the kernels emulated: right answers without a GPU."""

import sys
import warnings
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("sparsedef._C", reason="the native module is not built")
from sparsedef.backends import BACKENDS, Problem, Status
from sparsedef.backends.slots import unpack
from sparsedef.testing import TOLERANCES, make_problem


@pytest.fixture
def cuda(emulator, monkeypatch):
    for op in ("omp", "lasso"):
        monkeypatch.setattr(sys.modules[f"sparsedef.backends.cuda.{op}"], "_C", emulator)
    stream = SimpleNamespace(cuda_stream=0)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    return BACKENDS["cuda"].functions


def assert_omp_agrees(found, expected):
    close = TOLERANCES[expected[1].dtype].close
    assert torch.equal(found[0], expected[0])
    for i in (1, 2):
        size = expected[i].nan_to_num().abs().amax(dim=1, keepdim=True).clamp_min(1e-30)
        torch.testing.assert_close(
            found[i] / size, expected[i] / size, atol=close, rtol=0, equal_nan=True
        )
    assert torch.equal(found[3], expected[3])
    assert torch.equal(found[4], expected[4])


# Shared memory that a block has, and N: in a workspace, in shared memory, in registers
PLACES = pytest.mark.parametrize(
    ("shared_bytes", "n_atoms"),
    [(0, 45), (1 << 20, 45), (0, 250), (1 << 20, 250)],
    ids=["workspace", "shared", "wide workspace", "registers"],
)


@PLACES
@pytest.mark.parametrize("nonnegative", [False, True], ids=["signed", "nonnegative"])
@pytest.mark.parametrize("selection", ["omp", "ols"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_omp_agrees_with_the_cpu_kernel(
    cuda, emulator, dtype, selection, nonnegative, shared_bytes, n_atoms
):
    emulator.shared_bytes = shared_bytes
    x, dictionary = make_problem(9, 20, n_atoms, dtype=dtype)
    x[2], x[3, 4], x[5], x[6] = 0, torch.nan, x[5] * 1e20, x[6] * 1e-20
    tol = torch.zeros(9, dtype=dtype)
    tol[7] = 0.3
    limits = torch.tensor([6, 0, 6, 6, 6, 6, 6, 6, 3], dtype=torch.int32)
    for most in (None, limits):
        arguments = (x, dictionary, tol, most, 6, selection, nonnegative, 0)
        expected = BACKENDS["cpp"].functions["omp"](*arguments)
        assert_omp_agrees(cuda["omp"](*arguments), expected)


@pytest.mark.parametrize("shared_bytes", [0, 1 << 20], ids=["workspace", "shared"])
def test_omp_in_little_memory_is_cut_and_stays_the_same(cuda, emulator, shared_bytes):
    emulator.shared_bytes = shared_bytes
    x, dictionary = make_problem(9, 20, 45, dtype=torch.float64)
    arguments = (x, dictionary, x.new_zeros(9), None, 4, "omp", False)
    with pytest.raises(ValueError, match="omp: max_memory must be at least") as refused:
        cuda["omp"](*arguments, 100)
    least = int(str(refused.value).split("at least ")[1].split()[0])
    for memory in (least, 2 * least):
        assert_omp_agrees(cuda["omp"](*arguments, memory), cuda["omp"](*arguments, 0))


def test_too_many_atoms_are_a_reason_against_omp():
    def reasons(n_atoms, **options):
        problem = Problem("omp", 1, 2, n_atoms, torch.float32, torch.device("cpu"), options)
        return "; ".join(BACKENDS["cuda"].why_not(problem))

    assert "atoms" not in reasons(2047)
    assert "at most 2047 atoms" in reasons(2048)
    assert "max_memory" in reasons(2000, max_memory=1 << 24)
    assert "max_memory" not in reasons(256, max_memory=1 << 24)


@pytest.mark.parametrize("shared_bytes", [0, 1 << 20], ids=["workspace", "shared"])
@pytest.mark.parametrize("slots", [0, 30])
@pytest.mark.parametrize("nonnegative", [False, True], ids=["signed", "nonnegative"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lasso_agrees_with_the_cpu_kernel(cuda, emulator, dtype, nonnegative, slots, shared_bytes):
    emulator.shared_bytes = shared_bytes
    tolerance = TOLERANCES[dtype]
    x, dictionary = make_problem(5, 20, 45, dtype=dtype, correlation=0.3)
    x[2], x[3, 4] = 0, torch.nan
    arguments = (x, dictionary, torch.full((5,), 0.05, dtype=dtype), None, None, nonnegative)
    arguments += (tolerance.gap, 100, "active_set", False, slots, 0)
    found = cuda["lasso"](*arguments)
    expected = BACKENDS["cpp"].functions["lasso"](*arguments)
    # Gap and rounds may differ; the certificate bounds the answers' distance.
    for i in (1, 2):
        close = 10 * tolerance.gap**0.5
        torch.testing.assert_close(found[i], expected[i], atol=close, rtol=0, equal_nan=True)
    assert torch.equal(found[0][[2, 3]], expected[0][[2, 3]])
    assert torch.equal(found[5], expected[5])
    assert found[5].tolist() == [0, 0, 0, Status.NONFINITE, 0]
    is_finite = torch.tensor([True, True, True, False, True])
    assert (found[3][is_finite] <= tolerance.gap).all()


@pytest.mark.parametrize("max_memory", [0, 150_000], ids=["whole", "chunks"])
@pytest.mark.parametrize("slots", [0, 45])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_elastic_net_agrees_with_the_reference(cuda, emulator, dtype, slots, max_memory):
    x, dictionary = make_problem(9, 20, 45, dtype=dtype, correlation=0.3)
    ridge = torch.linspace(0, 0.2, 45, dtype=dtype)
    arguments = (x, dictionary, torch.full((9,), 0.03, dtype=dtype), ridge, None, False)
    arguments += (TOLERANCES[dtype].gap, 100, "active_set", False, slots, max_memory)
    found = cuda["lasso"](*arguments)
    expected = BACKENDS["reference"].functions["lasso"](*arguments)
    close = 10 * TOLERANCES[dtype].gap ** 0.5
    codes, theirs = (
        values if slots == 0 else unpack(indices, values, 45)
        for indices, values, *_ in (found, expected)
    )
    torch.testing.assert_close(codes, theirs, atol=close, rtol=0)
    torch.testing.assert_close(found[2], expected[2], atol=close, rtol=0)
    assert (found[5] == int(Status.CONVERGED)).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("slots", [0, 64])
def test_a_round_waits_for_the_gpu_once(slots):
    # Its CPU sibling, which sees every way to wait, is in tests/backends/test_working_set.py.
    x, dictionary = (t.cuda() for t in make_problem(200, 64, 300, dtype=torch.float32))
    alpha = torch.logspace(-2, -0.5, 200, device="cuda")
    arguments = (x, dictionary, alpha, None, None, False, 1e-5, 100, "active_set", False, slots, 0)
    lasso = BACKENDS["cuda"].functions["lasso"]
    lasso(*arguments)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = lasso(*arguments)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = [w for w in caught if "synchroniz" in str(w.message)]
    assert len(waits) <= found[4].max().item() + 1


def test_tensors_on_the_cpu_are_refused_with_a_reason():
    problem = Problem("omp", 1, 2, 3, torch.float32, torch.device("cpu"), {})
    assert any("CUDA" in reason for reason in BACKENDS["cuda"].why_not(problem))
