"""What is active on this machine, and a quick check that it computes the right thing."""

from __future__ import annotations

import os
import platform
import time

import torch

from sparsedef.backends import BACKENDS, OPS, ORDER, Problem
from sparsedef.backends.base import Backend, BackendError
from sparsedef.version import __version__


def backends() -> dict[str, dict[str, str]]:
    """Says for each backend and op whether it can serve here (float32), and if not, why.

    Returns:
        ``{backend: {op: "yes" or the reasons}}``, in the order of the automatic choice.

    Example:
        >>> backends()["reference"]["omp"]
        'yes'
    """
    return {name: {op: _answer(BACKENDS[name], op) for op in OPS} for name in ORDER}


def _answer(backend: Backend, op: str) -> str:
    # The most common shape of a call, on the device that the backend is made for.
    is_for_cpu = backend.name in ("cpp", "reference") or not torch.cuda.is_available()
    device = "cpu" if is_for_cpu else "cuda"
    algorithm = "fista" if backend.name == "triton" else "active_set"
    problem = Problem.of(
        op,
        torch.empty(1024, 64, device=device),
        torch.empty(256, 64, device=device),
        algorithm=algorithm,
        nonnegative=False,
        selection="omp",
        n_nonzero=8,
    )
    return "; ".join(backend.why_not(problem)) or "yes"


def show_config() -> str:
    """Describes versions, threads, the native module and every backend, for bug reports.

    Returns:
        A text of a dozen lines; print it.

    Example:
        >>> print(show_config().splitlines()[0])  # doctest: +ELLIPSIS
        sparsedef ...
    """
    lines = [
        f"sparsedef {__version__}",
        f"python    {platform.python_version()} on {platform.system()} {platform.machine()}",
        f"torch     {torch.__version__}, {torch.get_num_threads()} threads",
        f"cuda      {_describe_cuda()}",
        f"native    {_describe_native()}",
        f"chosen    SPARSEDEF_BACKEND={os.environ.get('SPARSEDEF_BACKEND', 'auto')}",
    ]
    for name, answers in backends().items():
        lines += [f"{name:10}{op:14} {answer}" for op, answer in answers.items()]
    return "\n".join(lines)


def _describe_cuda() -> str:
    if not torch.cuda.is_available():
        return "no device"
    return f"{torch.cuda.get_device_name()} ({torch.version.cuda})"


def _describe_native() -> str:
    try:
        from sparsedef import _C
    except ImportError as error:
        return f"not built ({error}); the reference backend serves"
    return ", ".join(f"{key}={value}" for key, value in _C.capabilities().items())


def doctor() -> bool:
    """Prints the configuration and codes a small problem on every backend that can run here.

    Each answer is judged by what must be true of it (duality gap, orthogonal residual), not by
    another implementation. Takes about two seconds.

    Returns:
        Whether all checks passed.
    """
    print(show_config(), end="\n\n")
    started = time.perf_counter()
    passed = [_check(name, device) for name in ORDER for device in _devices(name)]
    is_well = all(passed)
    verdict = "all well" if is_well else "SOMETHING IS WRONG"
    print(f"\n{verdict}, {time.perf_counter() - started:.1f} s")
    return is_well


def _devices(name: str) -> list[str]:
    usual = ["cpu"] if name in ("cpp", "reference") else []
    return usual + (["cuda"] if torch.cuda.is_available() and name != "cpp" else [])


def _check(name: str, device: str) -> bool:
    from sparsedef.solvers import lasso, omp

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 32, generator=generator).to(device)
    dictionary = torch.randn(80, 32, generator=generator).to(device)
    dictionary = torch.nn.functional.normalize(dictionary, dim=1)
    is_well = True
    for op in ("lasso", "omp"):
        try:
            if op == "lasso":
                algorithm = "fista" if name == "triton" else "active_set"
                certified = lasso(x, dictionary, 0.5, algorithm=algorithm, backend=name)
                worst = float(certified.gap.max())  # type: ignore[union-attr]
                what = f"largest relative gap {worst:.1e}"
            else:
                code = omp(x, dictionary, 5, backend=name)
                used = code.codes != 0
                worst = float((code.residual @ dictionary.mT)[used].abs().max())
                what = f"largest correlation left on the support {worst:.1e}"
            mark = "ok" if worst < 2e-5 else "BAD"
        except BackendError as error:
            mark, what = "-", str(error)
        except Exception as error:
            mark, what = "BAD", repr(error)
        is_well = is_well and mark != "BAD"
        print(f"{mark:3} {name:10} {device:5} {op:6} {what}")
    return is_well
