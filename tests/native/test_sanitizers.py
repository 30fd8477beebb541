"""The CPU kernels touch no memory but their own (address and undefined-behaviour sanitizers)."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CPU = HERE.parents[1] / "csrc" / "cpu"
KERNELS = ("omp", "patches", "lasso", "proximal", "code_statistics", "update_atoms")
ISAS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx2", "-mfma", "-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw"],
}


@pytest.mark.slow
@pytest.mark.skipif(not CPU.is_dir(), reason="the sources are not here")
def test_the_kernels_are_clean_under_sanitizers(tmp_path):
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None or shutil.which(compiler) is None:
        pytest.skip("there is no C++ compiler")
    flags = [
        "-std=c++17",
        "-O0",  # the kernels are unrolled: more takes minutes to compile
        "-g1",
        "-ffp-contract=off",
        "-fsanitize=address,undefined",
        "-fopenmp",
    ]
    flags += ["-fno-sanitize-recover=undefined"]
    is_x86 = platform.machine() in ("x86_64", "AMD64")
    objects = []
    for isa, options in ISAS.items() if is_x86 else [("baseline", [])]:
        for source in KERNELS:
            objects.append(tmp_path / f"{source}_{isa}.o")
            command = [compiler, *flags, *options, f"-DSPARSEDEF_ISA={isa}"]
            subprocess.run([*command, "-c", CPU / f"{source}.cpp", "-o", objects[-1]], check=True)
    shared = [CPU / f"{name}.cpp" for name in ("dispatch", "select", "threads")]
    program = tmp_path / "sanitize"
    define = ["-DSPARSEDEF_X86"] if is_x86 else []
    sources = [HERE / "sanitize.cpp", *shared, *objects]
    subprocess.run([compiler, *flags, *define, *sources, "-o", program], check=True)
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
