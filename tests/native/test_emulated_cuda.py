"""The CUDA kernels give the CPU's bits, whatever order the lanes of a warp run in."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
ORDERS = {"ascending": 0, "descending": 1, "random": 2}
MEMORIES = {"direct": 0, "delayed": 1}  # when stores to shared memory are seen
CPU = -1
C_TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}

pointer, long, int_ = ctypes.c_void_p, ctypes.c_long, ctypes.c_int


class OmpTask(ctypes.Structure):
    _fields_ = [
        *((name, pointer) for name in ("correlations", "gram", "norm2", "energy", "tol")),
        *((name, pointer) for name in ("workspace", "indices", "values", "n_iter", "status")),
        *(("n_signals", long), ("n", int_), ("n_nonzero", int_), ("n_groups", long)),
    ]


class LassoTask(ctypes.Structure):
    _fields_ = [
        *((name, pointer) for name in ("gram", "targets", "alpha", "codes", "workspace")),
        *(("n_problems", long), ("size", int_), ("is_nonnegative", ctypes.c_bool)),
        *(("tol", ctypes.c_double), ("n_groups", long)),
    ]


class ResidualTask(ctypes.Structure):
    _fields_ = [
        *((name, pointer) for name in ("x", "dictionary", "indices", "values", "residual")),
        *(("n_signals", long), ("n_features", long), ("n_nonzero", int_)),
    ]


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None or shutil.which(compiler) is None:
        pytest.skip("there is no C++ compiler")
    library = tmp_path_factory.mktemp("emulator") / "emulate.so"
    flags = [
        "-std=c++17",
        "-O2",
        "-march=native",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fPIC",
        "-shared",
    ]
    subprocess.run([compiler, *flags, HERE / "emulate.cpp", "-o", library], check=True)
    return ctypes.CDLL(str(library))


def unit_atoms(rng, n_atoms, n_features, dtype):
    atoms = rng.standard_normal((n_atoms, n_features))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    atoms[n_atoms // 2] = atoms[0]  # a duplicate
    return atoms.astype(dtype)


def address(array):
    return None if array is None else array.ctypes.data


def pursue(emulator, dtype, is_ols, order, memory, in_workspace, n_nonzero=5):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((7, 16)).astype(dtype)
    x[2] = 0
    atoms = np.zeros((64, 16), dtype)
    atoms[:50] = unit_atoms(rng, 50, 16, dtype)
    x[3] = atoms[7]  # one atom is enough
    correlations, gram = x @ atoms.T, atoms @ atoms.T
    norm2, energy = np.diag(gram).copy(), (x * x).sum(axis=1)
    tol = np.zeros(7, dtype)
    tol[4] = energy[4] / 2
    indices = np.full((7, n_nonzero), 99, np.int64)
    values = np.full((7, n_nonzero), np.nan, dtype)
    n_iter, status = np.full(7, 99, np.int32), np.full(7, 99, np.int32)
    numbers = emulator.emulate_omp_numbers(64, n_nonzero, is_ols)
    workspace = np.full(3 * numbers, np.nan, dtype) if in_workspace else None
    task = OmpTask(
        *map(address, (correlations, gram, norm2, energy, tol, workspace)),
        *map(address, (indices, values, n_iter, status)),
        7,
        64,
        n_nonzero,
        3,
    )
    run = getattr(emulator, f"emulate_omp_{C_TYPES[np.dtype(dtype)]}")
    run(ctypes.byref(task), ctypes.c_bool(is_ols), order, memory)
    return indices, values, n_iter, status


@pytest.mark.parametrize("in_workspace", [False, True], ids=["shared", "workspace"])
@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("is_ols", [False, True], ids=["omp", "ols"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_omp_on_a_warp_has_the_bits_of_the_cpu(
    emulator, dtype, is_ols, order, memory, in_workspace
):
    expected = pursue(emulator, dtype, is_ols, CPU, 0, in_workspace=False)
    found = pursue(emulator, dtype, is_ols, ORDERS[order], MEMORIES[memory], in_workspace)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (expected[2] == [5, 5, 0, 1, expected[2][4], 5, 5]).all()
    assert 0 < expected[2][4] < 5


def solve(emulator, dtype, is_nonnegative, order, memory, in_workspace, size):
    rng = np.random.default_rng(1)
    atoms = unit_atoms(rng, size, 24, dtype) + dtype(0.3)
    x = rng.standard_normal((4, 24)).astype(dtype)
    gram = np.ascontiguousarray(np.broadcast_to(atoms @ atoms.T, (4, size, size)))
    gram[3, -1] = gram[3, :, -1] = 0  # an unused place
    targets = x @ atoms.T
    targets[3, -1] = 0
    codes = np.zeros((4, size), dtype)
    codes[1, :3] = 0.5
    alpha = (np.abs(targets).max(axis=1) * np.array([0.1, 0.3, 2, 0.05])).astype(dtype)
    numbers = emulator.emulate_lasso_numbers(size)
    workspace = np.full(2 * numbers, np.nan, dtype) if in_workspace else None
    accuracy = 4 * np.finfo(dtype).eps
    task = LassoTask(
        *map(address, (gram, targets, alpha, codes, workspace)),
        4,
        size,
        is_nonnegative,
        accuracy,
        2,
    )
    run = getattr(emulator, f"emulate_lasso_{C_TYPES[np.dtype(dtype)]}")
    run(ctypes.byref(task), order, memory)
    return gram, targets, alpha, codes


@pytest.mark.parametrize("in_workspace", [False, True], ids=["shared", "workspace"])
@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("is_nonnegative", [False, True], ids=["signed", "nonnegative"])
@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 20), (np.float64, 20), (np.float32, 40)])
def test_small_lasso_on_a_warp_has_the_bits_of_the_cpu(
    emulator, dtype, size, is_nonnegative, order, memory, in_workspace
):
    *_, expected = solve(emulator, dtype, is_nonnegative, CPU, 0, False, size)
    *_, found = solve(
        emulator, dtype, is_nonnegative, ORDERS[order], MEMORIES[memory], in_workspace, size
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("is_nonnegative", [False, True], ids=["signed", "nonnegative"])
@pytest.mark.parametrize("size", [1, 20, 64])
def test_small_lasso_meets_its_optimality_conditions(emulator, size, is_nonnegative):
    gram, targets, alpha, codes = solve(emulator, np.float64, is_nonnegative, CPU, 0, False, size)
    left = targets - np.einsum("uij,uj->ui", gram, codes)
    scale = np.abs(targets).max(axis=1, keepdims=True)
    is_on = codes != 0
    if is_nonnegative:
        assert (codes >= 0).all()
    size_left = left if is_nonnegative else np.abs(left)
    assert (size_left <= alpha[:, None] + 1e-13 * scale).all()
    on_support = np.abs(left - alpha[:, None] * np.sign(codes))
    assert (on_support[is_on] <= 1e-13 * np.broadcast_to(scale, codes.shape)[is_on]).all()


def test_the_residual_kernel_subtracts_the_chosen_atoms(emulator):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((5, 37)).astype(np.float32)
    atoms = unit_atoms(rng, 11, 37, np.float32)
    indices = np.array([[3, 7], [10, -1], [-1, -1], [0, 1], [5, 4]])
    values = rng.standard_normal((5, 2)).astype(np.float32) * (indices >= 0)
    residual = np.full_like(x, np.nan)
    task = ResidualTask(*map(address, (x, atoms, indices, values, residual)), 5, 37, 2)
    emulator.emulate_residual_float(ctypes.byref(task), ORDERS["random"])
    expected = x - np.einsum("bk,bkm->bm", values, atoms[indices])
    np.testing.assert_allclose(residual, expected, atol=1e-6)
