"""How much memory one cold call of ``sparsedef.lasso`` takes beyond what was there before it.

Measured in a fresh process, as the growth of its peak resident memory; the result counts as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import sparsedef
from benchmarks.gate import GAP, judge_lasso
from benchmarks.problems import LassoProblem

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def measure(
    problem: LassoProblem, max_memory: int | None, backend: str, threads: int
) -> dict[str, Any]:
    """Runs one call on ``problem`` in a process of its own and judges its codes here.

    Returns:
        The row for the JSON: ``peak_bytes``, with ``output_bytes`` of them the result, beside
        ``product_bytes``, the size of ``x @ dictionary.T``. ``peak_bytes`` is ``None`` with a
        ``note`` on systems without ``/proc``.

    Raises:
        GateError: The answer is wrong.
    """
    options = {
        "alpha": problem.alpha,
        "nonnegative": problem.nonnegative,
        "backend": backend,
        "tol": GAP,
        "layout": "compact",
        **({} if max_memory is None else {"max_memory": max_memory}),
    }
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder, "given.pt"), Path(folder, "taken.pt")
        torch.save((problem.x, problem.dictionary, options, threads), given)
        # By its file, and with our own sparsedef first on the path, wherever it comes from.
        roots = [Path(sparsedef.__file__).parents[1], Path(__file__).parents[1]]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, roots))}
        command = [sys.executable, __file__, str(given), str(taken)]
        done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"the measured call failed:\n{done.stderr[-2000:]}")
        outputs, code = json.loads(done.stdout), torch.load(taken)
    dense = code["values"].new_zeros(len(problem.x), len(problem.dictionary))
    dense.scatter_add_(1, code["indices"].clamp_min(0), code["values"])
    return {
        "kind": "memory",
        "op": "lasso",
        "problem": problem.name,
        "n_signals": len(problem.x),
        "n_atoms": len(problem.dictionary),
        "threads": threads,
        "max_memory": max_memory,
        "product_bytes": len(problem.x) * len(problem.dictionary) * 4,
        **outputs,
        **judge_lasso(problem, dense).row,
    }


def peak_bytes() -> int | None:
    """The largest resident memory of this process since the last ``restart_peak``."""
    return _status("VmHWM")


def restart_peak() -> int | None:
    """Lets the peak begin anew at what is resident now, and returns that."""
    try:
        RESET.write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def _status(name: str) -> int | None:
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    (line,) = (line for line in lines if line.startswith(name))
    return 1024 * int(line.split()[1])


def main(given: str, taken: str) -> None:
    """In the fresh process: loads everything with a small call, then measures the one asked for."""
    x, dictionary, options, threads = torch.load(given)
    torch.set_num_threads(threads)
    alpha = options.pop("alpha")
    few = {name: value for name, value in options.items() if name != "max_memory"}
    sparsedef.lasso(x[:8].clone(), dictionary[:32].clone(), alpha, **few)
    before = restart_peak()
    code = sparsedef.lasso(x, dictionary, alpha, **options)
    after = peak_bytes()
    tensors = [part for part in code if isinstance(part, torch.Tensor)]
    result = {
        "peak_bytes": None if before is None or after is None else after - before,
        "output_bytes": sum(part.nbytes for part in tensors),
        "backend": code.backend,
    }
    if result["peak_bytes"] is None:
        result["note"] = "peak memory is read from /proc, which is not here"
    print(json.dumps(result))
    torch.save({"indices": code.indices, "values": code.values}, taken)


if __name__ == "__main__":
    main(*sys.argv[1:])
