"""The CUDA kernels on an emulator: compiled by the C++ compiler, called as ``sparsedef._C`` is."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent

_pointer, _long, _int = ctypes.c_void_p, ctypes.c_long, ctypes.c_int


def _structure(name, pointers, *sizes):
    fields = [*((pointer, _pointer) for pointer in pointers.split()), *sizes]
    return type(name, (ctypes.Structure,), {"_fields_": fields})


# As in csrc/cuda/tasks.h.
OmpTask = _structure(
    "OmpTask",
    "correlations gram norm2 energy tol limits workspace indices values n_iter status",
    ("n_signals", _long),
    ("n", _int),
    ("n_nonzero", _int),
    ("is_ols", ctypes.c_bool),
    ("is_nonnegative", ctypes.c_bool),
    ("register_slots", _int),
    ("n_groups", _long),
)
ResidualTask = _structure(
    "ResidualTask",
    "x dictionary indices values residual",
    ("n_signals", _long),
    ("n_features", _long),
    ("n_nonzero", _int),
)
LassoTask = _structure(
    "LassoTask",
    "gram slopes alpha codes accuracy workspace",
    ("n_problems", _long),
    ("size", _int),
    ("is_nonnegative", ctypes.c_bool),
    ("tol", ctypes.c_double),
    ("n_groups", _long),
)


class Emulator:
    """Has the CUDA functions of ``sparsedef._C``; their memory is the host's.

    ``order`` is the order in which a warp's lanes run, ``memory`` when stores to shared memory are
    seen by other lanes. ``on_cpu_lanes`` runs the same kernels as the CPU does.
    """

    ORDERS = ("ascending", "descending", "random")
    MEMORIES = ("direct", "delayed")

    def __init__(self, library):
        self.library = library
        self.order, self.memory, self.on_cpu_lanes = "ascending", "direct", False
        self.shared_bytes = 1 << 16

    def _call(self, name, task, *arguments):
        order = -1 if self.on_cpu_lanes else self.ORDERS.index(self.order)
        memory = self.MEMORIES.index(self.memory)
        getattr(self.library, name)(ctypes.byref(task), *arguments, order, memory)

    def _omp(self, dtype, device=None, stream=0, *, n_groups, workspace, limits, **fields):
        n_groups = n_groups or fields["n_signals"]  # as many as fit is up to the launcher
        task = OmpTask(
            n_groups=n_groups, workspace=workspace or None, limits=limits or None, **fields
        )
        self._call(f"emulate_omp_{dtype}", task)

    def omp_cuda_float(self, **arguments):
        self._omp("float", **arguments)

    def omp_cuda_double(self, **arguments):
        self._omp("double", **arguments)

    def residual_cuda_float(self, device=None, stream=0, **fields):
        self._call("emulate_residual_float", ResidualTask(**fields))

    def residual_cuda_double(self, device=None, stream=0, **fields):
        self._call("emulate_residual_double", ResidualTask(**fields))

    def _lasso(self, dtype, device=None, stream=0, *, n_groups, workspace, **fields):
        n_groups = n_groups or min(fields["n_problems"], 2)
        task = LassoTask(n_groups=n_groups, workspace=workspace or None, **fields)
        self._call(f"emulate_lasso_{dtype}", task)

    def lasso_small_cuda_float(self, **arguments):
        self._lasso("float", **arguments)

    def lasso_small_cuda_double(self, **arguments):
        self._lasso("double", **arguments)

    def omp_cuda_numbers(self, n, n_nonzero, is_ols, has_registers):
        return self.library.emulate_omp_numbers(
            n, n_nonzero, ctypes.c_bool(is_ols), ctypes.c_bool(has_registers)
        )

    def lasso_cuda_numbers(self, size):
        return self.library.emulate_lasso_numbers(size)

    def shared_memory_limit(self, device):
        return self.shared_bytes


@pytest.fixture(scope="session")
def emulator_library(tmp_path_factory):
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None or shutil.which(compiler) is None:
        pytest.skip("there is no C++ compiler")
    library = tmp_path_factory.mktemp("emulator") / "emulate.so"
    flags = ["-std=c++17", "-O2", "-march=native", "-ffp-contract=off", "-fno-math-errno"]
    flags += ["-fPIC", "-shared"]
    subprocess.run([compiler, *flags, HERE / "emulate.cpp", "-o", library], check=True)
    return ctypes.CDLL(str(library))


@pytest.fixture
def emulator(emulator_library):
    return Emulator(emulator_library)
