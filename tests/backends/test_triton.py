"""The Triton backend's manners: lazy, honest about what it cannot do, tested without a GPU."""

import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from sparsedef.backends import BACKENDS, Problem

HERE = Path(__file__).parent


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd=HERE.parents[1],
        check=False,
    )


def reasons(
    device: str = "cpu", dtype: torch.dtype = torch.float32, algorithm: str = "fista"
) -> str:
    options = {"algorithm": algorithm, "nonnegative": False}
    problem = Problem("lasso", 8, 16, 32, dtype, torch.device(device), options)
    return "; ".join(BACKENDS["triton"].why_not(problem))


def test_importing_sparsedef_does_not_import_triton() -> None:
    result = run_python("-c", "import sys, sparsedef; sys.exit('triton' in sys.modules)")
    assert result.returncode == 0, result.stderr


def test_it_says_why_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert "need tensors on a CUDA device, these are on cpu" in reasons()
    assert "not torch.float16" in reasons(dtype=torch.float16)
    assert "not 'active_set'" in reasons(algorithm="active_set")
    pursuit = Problem("omp", 8, 16, 32, torch.float32, torch.device("cpu"), {"selection": "omp"})
    assert "need tensors on a CUDA device" in "".join(BACKENDS["triton"].why_not(pursuit))
    assert "algorithm" not in "".join(BACKENDS["triton"].why_not(pursuit))


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
def test_the_interpreter_makes_it_able_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert reasons() == ""


def test_a_missing_triton_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("sparsedef.backends.triton")
    monkeypatch.setattr(module, "_is_installed", lambda: False)
    assert "triton is not installed" in reasons()


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("op", ["lasso", "omp"])
def test_the_kernels_are_right_in_the_interpreter(op: str) -> None:
    """Triton reads the switch when it is imported, so the tests run in a process of their own."""
    if run_python("-c", INTERPRETER_PROBE, TRITON_INTERPRET="1").returncode:
        pytest.skip("this version of Triton cannot interpret a loop with this version of numpy")
    tests = str(HERE / f"test_triton_{op}.py")
    options = ("-q", "-p", "no:cacheprovider", "-k", "cpu")
    result = run_python("-m", "pytest", *options, tests, TRITON_INTERPRET="1")
    assert result.returncode == 0, result.stdout[-4000:]
    assert " passed" in result.stdout
    assert "skipped" not in result.stdout


INTERPRETER_PROBE = f"""
import sys, torch
sys.path.insert(0, {str(HERE)!r})
from triton_probe import probe
assert probe(torch.zeros(1), 3).item() == 3
"""
