"""The CUDA kernels give the CPU's bits, whatever order the lanes of a warp run in."""

import numpy as np
import pytest

ORDERS = ["ascending", "descending", "random"]
MEMORIES = ["direct", "delayed"]  # when stores to shared memory are seen
SUFFIX = {np.float32: "float", np.float64: "double"}


def unit_atoms(rng, n_atoms, n_features, dtype):
    atoms = rng.standard_normal((n_atoms, n_features))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    atoms[n_atoms // 2] = atoms[0]  # a duplicate
    return atoms.astype(dtype)


def addresses(**arrays):
    return {name: array.ctypes.data for name, array in arrays.items()}


def pursue(
    emulator,
    dtype,
    is_ols,
    *,
    is_nonnegative=False,
    n=64,
    n_nonzero=5,
    slots=0,
    in_workspace=False,
):
    rng = np.random.default_rng(0)
    n_atoms = n - 14
    x = rng.standard_normal((8, 16)).astype(dtype)
    x[2] = 0
    atoms = np.zeros((n, 16), dtype)
    atoms[:n_atoms] = unit_atoms(rng, n_atoms, 16, dtype)
    if is_nonnegative:
        atoms[:n_atoms] += dtype(0.2)  # close to each other: some are dropped
        x += dtype(0.5)
    x[3] = atoms[7]  # one atom is enough
    gram, energy = atoms @ atoms.T, (x * x).sum(axis=1)
    tol = np.zeros(8, dtype)
    tol[4] = energy[4] / 2
    limits = np.array([9, 9, 9, 9, 9, 0, 2, 5], np.int32)
    outputs = {
        "indices": np.full((8, n_nonzero), 99, np.int64),
        "values": np.full((8, n_nonzero), np.nan, dtype),
        "n_iter": np.full(8, 99, np.int32),
        "status": np.full(8, 99, np.int32),
    }
    numbers = emulator.omp_cuda_numbers(n, n_nonzero, is_ols, False)
    workspace = np.full(3 * numbers, np.nan, dtype)
    inputs = {"correlations": x @ atoms.T, "gram": gram, "norm2": np.diag(gram).copy()}
    inputs |= {"energy": energy, "tol": tol, "limits": np.minimum(limits, n_nonzero)}
    getattr(emulator, f"omp_cuda_{SUFFIX[dtype]}")(
        **addresses(**inputs, **outputs),
        workspace=workspace.ctypes.data if in_workspace else 0,
        n_groups=3,
        n_signals=8,
        n=n,
        n_nonzero=n_nonzero,
        is_ols=is_ols,
        is_nonnegative=is_nonnegative,
        register_slots=slots,
    )
    return outputs


PLACES = {
    "shared": {},
    "workspace": {"in_workspace": True},
    "registers": {"n": 256, "slots": 8},
    "nonnegative": {"is_nonnegative": True, "n_nonzero": 7},
    "nonnegative in workspace": {"is_nonnegative": True, "n_nonzero": 7, "in_workspace": True},
}


def assert_the_cpus_bits(emulator, dtype, is_ols, order, memory, place):
    emulator.on_cpu_lanes = True
    expected = pursue(emulator, dtype, is_ols, **place)
    emulator.on_cpu_lanes, emulator.order, emulator.memory = False, order, memory
    found = pursue(emulator, dtype, is_ols, **place)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
    return expected


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("is_ols", [False, True], ids=["omp", "ols"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_omp_on_a_warp_has_the_bits_of_the_cpu(emulator, dtype, is_ols, order, memory, place):
    expected = assert_the_cpus_bits(emulator, dtype, is_ols, order, memory, place)
    if "is_nonnegative" in place:
        assert (expected["values"] >= 0).all()
        assert expected["n_iter"][[5, 6]].tolist() == [0, 2]
    else:
        assert expected["n_iter"][[0, 1, 2, 3, 5, 6, 7]].tolist() == [5, 5, 0, 1, 0, 2, 5]
        assert 0 < expected["n_iter"][4] < 5


@pytest.mark.parametrize("is_ols", [False, True], ids=["omp", "ols"])
def test_the_nonnegative_problem_loses_atoms(emulator, is_ols):
    emulator.on_cpu_lanes = True
    more, less = (
        pursue(emulator, np.float64, is_ols, is_nonnegative=True, n_nonzero=k)["indices"]
        for k in (7, 5)
    )
    assert any(set(few) - set(many) - {-1} for few, many in zip(less, more, strict=True))


@pytest.mark.parametrize("is_ols", [False, True], ids=["omp", "ols"])
@pytest.mark.parametrize(("dtype", "slots"), [(np.float32, 16), (np.float32, 32), (np.float64, 16)])
def test_so_do_larger_dictionaries_in_registers(emulator, dtype, slots, is_ols):
    place = {"n": 32 * slots, "slots": slots}
    assert_the_cpus_bits(emulator, dtype, is_ols, "random", "delayed", place)


def solve(emulator, dtype, is_nonnegative, in_workspace, size):
    rng = np.random.default_rng(1)
    atoms = unit_atoms(rng, size, 24, dtype) + dtype(0.3)
    x = rng.standard_normal((4, 24)).astype(dtype)
    gram = np.stack([atoms @ atoms.T] * 4)
    gram[3, -1] = gram[3, :, -1] = 0  # an unused place
    targets = x @ atoms.T
    targets[3, -1] = 0
    codes = np.zeros((4, size), dtype)
    codes[1, :3] = 0.5
    slopes = targets - np.einsum("uij,uj->ui", gram, codes)
    alpha = (np.abs(targets).max(axis=1) * np.array([0.1, 0.3, 2, 0.05])).astype(dtype)
    workspace = np.full(2 * emulator.lasso_cuda_numbers(size), np.nan, dtype)
    accuracy = np.full(4, np.nan, dtype)
    getattr(emulator, f"lasso_small_cuda_{SUFFIX[dtype]}")(
        **addresses(gram=gram, slopes=slopes, alpha=alpha, codes=codes, accuracy=accuracy),
        workspace=workspace.ctypes.data if in_workspace else 0,
        n_problems=4,
        size=size,
        is_nonnegative=is_nonnegative,
        tol=4 * np.finfo(dtype).eps,
        n_groups=2,
    )
    return gram, targets, alpha, codes


@pytest.mark.parametrize("in_workspace", [False, True], ids=["shared", "workspace"])
@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("is_nonnegative", [False, True], ids=["signed", "nonnegative"])
@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 20), (np.float64, 20), (np.float32, 40)])
def test_small_lasso_on_a_warp_has_the_bits_of_the_cpu(
    emulator, dtype, size, is_nonnegative, order, memory, in_workspace
):
    emulator.on_cpu_lanes = True
    *_, expected = solve(emulator, dtype, is_nonnegative, False, size)
    emulator.on_cpu_lanes, emulator.order, emulator.memory = False, order, memory
    *_, found = solve(emulator, dtype, is_nonnegative, in_workspace, size)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("is_nonnegative", [False, True], ids=["signed", "nonnegative"])
@pytest.mark.parametrize("size", [1, 20, 64])
def test_small_lasso_meets_its_optimality_conditions(emulator, size, is_nonnegative):
    emulator.on_cpu_lanes = True
    gram, targets, alpha, codes = solve(emulator, np.float64, is_nonnegative, False, size)
    left = targets - np.einsum("uij,uj->ui", gram, codes)
    slack = 1e-13 * np.abs(targets).max(axis=1, keepdims=True) + 0 * codes
    is_on = codes != 0
    if is_nonnegative:
        assert (codes >= 0).all()
    assert ((left if is_nonnegative else np.abs(left)) <= alpha[:, None] + slack).all()
    assert (np.abs(left - alpha[:, None] * np.sign(codes)) <= slack)[is_on].all()
