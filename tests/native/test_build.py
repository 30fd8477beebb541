"""What the native module is made of: no torch, no code for a processor that may not be there."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).parents[2] / "csrc"
needs_csrc = pytest.mark.skipif(not CSRC.is_dir(), reason="the sources are not here")


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def tool(*names):
    for name in names:
        if name and shutil.which(name):
            return name
    return pytest.skip(f"there is no {' or '.join(name for name in names if name)}")


def test_the_module_depends_on_no_torch_library():
    module = pytest.importorskip("sparsedef._C", reason="the native module is not built")
    needed = run(tool("readelf"), "--dynamic", module.__file__)
    assert "libc.so" in needed
    assert not re.search(r"torch|c10|cudart|libcuda", needed)


@needs_csrc
def test_no_source_includes_a_torch_header():
    for path in CSRC.rglob("*.*"):
        assert not re.search(r"#include\s*[<\"](torch|ATen|c10)", path.read_text()), path


@needs_csrc
@pytest.mark.parametrize("source", ["omp.cpp", "lasso.cpp", "proximal.cpp"])
def test_a_kernel_object_brings_no_code_that_the_linker_could_share(source, tmp_path):
    # One copy of an inline function survives linking; if it were the AVX-512 one, the module
    # would crash on other processors. Only data (type information) may be shared.
    compiler, nm = tool(os.environ.get("CXX"), "g++", "clang++"), tool("nm")
    flags = [
        "-std=c++17",
        "-O3",
        "-ffp-contract=off",
        "-fPIC",
        "-fvisibility=hidden",
        "-DSPARSEDEF_ISA=some",
    ]
    run(compiler, *flags, "-c", CSRC / "cpu" / source, "-o", tmp_path / "kernel.o")
    symbols = run(nm, "--demangle", "--defined-only", tmp_path / "kernel.o").splitlines()
    shared = [line for line in symbols if re.match(r"\S+ [WVu] ", line) and "DW.ref" not in line]
    assert shared == []


@needs_csrc
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("source", ["omp.cu", "lasso.cu"])
def test_cuda_kernels_keep_everything_in_registers(source, architecture, tmp_path):
    nvcc = tool("nvcc")
    if not re.search(rf"\b{architecture}\b", run(nvcc, "--list-gpu-code")):
        pytest.skip(f"this nvcc cannot compile for {architecture}")
    flags = ["-std=c++17", "-O3", "-fmad=false", f"-arch={architecture}", "-cubin", "-Xptxas=-v"]
    report = run(nvcc, *flags, CSRC / "cuda" / source, "-o", tmp_path / "kernel.cubin")
    frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes", report)
    assert len(frames) == report.count("Compiling entry function") > 0
    assert set(frames) == {("0", "0", "0")}
