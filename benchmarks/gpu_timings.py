"""Times every backend and every Triton kernel on a GPU, behind the same gate as on the CPU.

First what the device can do at best: a copy, and products in float32, TF32 and bfloat16.
Run by ``gpu.sh``. The result file is written anew after each row, so that a run that is cut off
leaves what it has. ``--device cpu --size tiny`` rehearses everything that needs no GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from statistics import quantiles
from typing import Any

import torch

import sparsedef
from benchmarks.baselines import ompgpu_baseline
from benchmarks.bench_omp import move
from benchmarks.gate import GAP, GateError
from benchmarks.machine import commit, machine
from benchmarks.omp_problems import OmpProblem, OmpSpec
from benchmarks.problems import LassoProblem, LassoSpec
from benchmarks.race import judge, product

BACKENDS = ("cuda", "triton", "reference")
ROUNDS = 10
MOST_CAPTURED = 1024  # signals: with more, launches are nothing beside the work
LASSO = {
    "tiny": (LassoSpec("concepts", 8, 16, 32, 0.1),),
    "full": (
        LassoSpec("concepts", 64, 512, 4096, 0.1),
        LassoSpec("concepts", 1024, 512, 1024, 0.075),
        LassoSpec("concepts", 8192, 512, 4096, 0.1),
        LassoSpec("concepts", 8192, 512, 10_000, 0.1),
        LassoSpec("patches", 100_000, 64, 256, 0.4),
    ),
}
_OMP = {
    "tiny": (("patches", 16, 64, 32, 3),),
    "full": (
        ("patches", 100_000, 64, 256, 5),
        ("patches", 1_000_000, 64, 256, 10),
        ("concepts", 1024, 512, 4096, 32),
    ),
}
OMP = {
    size: tuple(OmpSpec(*sizes, rule) for sizes in table for rule in ("omp", "ols"))
    for size, table in _OMP.items()
}
# also with bfloat16 inputs, which are computed in float32
HALVED = {size: (OMP[size][0], LASSO[size][0]) for size in OMP}
RATES = {"tiny": (2**16, 64), "full": (2**28, 8192)}  # floats copied, side of the matrices
Problem = LassoProblem | OmpProblem


@dataclass(frozen=True)
class Candidate:
    """One backend and algorithm on one problem."""

    name: str
    call: Callable[[], Any]


def candidates(problem: Problem) -> Iterator[Candidate]:
    """All backends, for the LASSO all algorithms; for the OMP rule the peer that has a GPU."""
    for peer in ompgpu_baseline.CONTESTANTS:
        if peer.accepts(problem) and peer.missing is None:
            yield Candidate(peer.name, peer.prepare(problem, None, 0))
    for backend in BACKENDS:
        if not isinstance(problem, LassoProblem):
            yield Candidate(backend, _omp_call(problem, backend))
            continue
        for algorithm in ("active_set", "fista"):
            yield Candidate(f"{backend}.{algorithm}", _lasso_call(problem, backend, algorithm))
    if isinstance(problem, LassoProblem) and len(problem.x) <= MOST_CAPTURED:
        yield from _fixed(problem)


def _fixed(problem: LassoProblem) -> Iterator[Candidate]:
    """FISTA with as many steps as the gate demands and no look at the gap; as a CUDA graph too."""
    is_cuda = problem.x.is_cuda
    backend = "triton" if is_cuda else "reference"
    try:
        steps = int(_lasso_call(problem, backend, "fista")().n_iter.max())
    except (sparsedef.BackendError, torch.OutOfMemoryError):
        return  # its row has said so
    call = _lasso_call(problem, backend, "fista", steps)
    yield Candidate(f"{backend}.fista, fixed steps", call)  # is called before the capture
    if is_cuda:
        yield Candidate(f"{backend}.fista, CUDA graph", _captured(call))


def _captured(call: Callable[[], sparsedef.SparseCode]) -> Callable[[], sparsedef.SparseCode]:
    """A replay of ``call``, whose kernels are compiled; if it cannot be captured, what says so."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            code = call()
    except (RuntimeError, ValueError) as error:
        reason = f"not captured: {error}"

        def fail() -> sparsedef.SparseCode:
            raise sparsedef.BackendError(reason)

        return fail

    def replay() -> sparsedef.SparseCode:
        graph.replay()
        return code

    return replay


def _given(problem: Any) -> tuple[torch.Tensor, torch.Tensor]:
    if not problem.name.endswith(" bf16"):
        return problem.x, problem.dictionary
    return problem.x.bfloat16(), problem.dictionary.bfloat16()


def _omp_call(problem: Any, backend: str) -> Callable[[], Any]:
    x, dictionary = _given(problem)
    return lambda: sparsedef.omp(
        x,
        dictionary,
        problem.n_nonzero,
        selection=problem.selection,
        layout="compact",
        backend=backend,
    )


def _lasso_call(
    problem: LassoProblem, backend: str, algorithm: str, steps: int | None = None
) -> Callable[[], Any]:
    x, dictionary = _given(problem)
    how: dict[str, Any] = {"tol": GAP, "layout": "compact"}
    if steps is not None:  # nothing is waited for
        how = {"tol": 0.0, "max_iter": steps}
    return lambda: sparsedef.lasso(
        x, dictionary, problem.alpha, algorithm=algorithm, backend=backend, **how
    )


def time_problem(problem: Problem, seconds: float) -> Iterator[dict[str, Any]]:
    """Gates, then times each candidate for about ``seconds``; failures become notes.

    First what to compare with: the product, for a pursuit with the bytes that must move besides.
    """
    parts = [product(problem), *([move(problem)] if isinstance(problem, OmpProblem) else [])]
    limit = measure(lambda: [part() for part in parts], problem.x.device, seconds)
    yield {"problem": problem.name, "name": "limit", **limit}
    for candidate in candidates(problem):
        row: dict[str, Any] = {"problem": problem.name, "name": candidate.name}
        try:
            result = candidate.call()
            is_dense = isinstance(result, torch.Tensor)
            codes = result if is_dense else result.to_dense(len(problem.dictionary))
            quality = judge(problem, codes)
        except GateError as error:
            yield {**row, "note": f"wrong: {error}"}
        except (sparsedef.BackendError, torch.OutOfMemoryError) as error:
            yield {**row, "note": str(error)[:300]}
        else:
            del result, codes
            yield {**row, **quality.row, **measure(candidate.call, problem.x.device, seconds)}


def time_machine(device: torch.device, size: str, seconds: float) -> Iterator[dict[str, Any]]:
    """Measures what the device can do at best: bytes copied, and products in three precisions."""
    n_floats, side = RATES[size]
    source = torch.zeros(n_floats, device=device)
    target = torch.empty_like(source)
    times = measure(lambda: target.copy_(source), device, seconds)
    rate = 8 * n_floats / times["median_ms"] / 1e6
    yield {"problem": "machine", "name": "copy", **times, "gb_per_s": rate}
    before = torch.get_float32_matmul_precision()
    try:
        for name, setting, dtype in (
            ("product float32", "highest", torch.float32), ("product tf32", "high", torch.float32),
            ("product bfloat16", "highest", torch.bfloat16),
        ):  # fmt: skip
            torch.set_float32_matmul_precision(setting)
            a = torch.ones(side, side, dtype=dtype, device=device)
            times = measure(lambda a=a: a @ a, device, seconds)
            rate = 2 * side**3 / times["median_ms"] / 1e9
            yield {"problem": "machine", "name": name, **times, "tflops": rate}
    finally:
        torch.set_float32_matmul_precision(before)


def halved(problem: Problem) -> Problem:
    """The same problem with signals and atoms that bfloat16 holds: judged on what is computed."""
    x, dictionary = problem.x.bfloat16().float(), problem.dictionary.bfloat16().float()
    return replace(problem, name=f"{problem.name} bf16", x=x, dictionary=dictionary)


def measure(call: Callable[[], Any], device: torch.device, seconds: float) -> dict[str, float]:
    """Median and quartiles in ms of warm calls, each waited for; peak memory of one call."""
    is_cuda = device.type == "cuda"
    if is_cuda:
        torch.cuda.reset_peak_memory_stats()
    taken: list[float] = []
    started = time.perf_counter()
    while len(taken) < 2 or (len(taken) < ROUNDS and time.perf_counter() - started < seconds):
        if is_cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        if is_cuda:
            torch.cuda.synchronize()
        taken.append(1e3 * (time.perf_counter() - start))
    low, median, high = quantiles(taken, n=4, method="inclusive")
    peak = torch.cuda.max_memory_allocated() / 2**20 if is_cuda else 0.0
    return {"median_ms": median, "q1_ms": low, "q3_ms": high, "peak_mib": peak}


def time_kernels(device: torch.device, size: str) -> Iterator[dict[str, Any]]:
    """Times the Triton kernels one by one, for several tiles, beside torch's product."""
    from benchmarks.triton_kernels import kernel_rows

    yield from kernel_rows(device, size, lambda call: measure(call, device, 0.3))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Times sparsedef's GPU backends.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=("tiny", "full"), default="full")
    parser.add_argument("--seconds", type=float, default=1.5, help="per problem and backend")
    parser.add_argument("--steps", type=Path, help="what gpu.sh did before: name, status, seconds")
    chosen = parser.parse_args(arguments)
    device = torch.device(chosen.device)
    results: dict[str, Any] = {
        "machine_info": {**machine(), "device": _device_name(device)},
        "commit_info": commit(),
        "datetime": datetime.now(timezone.utc).isoformat(),
        "steps": chosen.steps.read_text().splitlines() if chosen.steps else [],
        "rows": [],
    }

    def keep(rows: Iterator[dict[str, Any]]) -> None:
        for row in rows:
            results["rows"].append(row)
            chosen.out.write_text(json.dumps(results, indent=1) + "\n")
            print(row, flush=True)

    def keep_problems(specs: Sequence[OmpSpec | LassoSpec]) -> None:
        for spec in specs:
            problem = spec.build()
            x, dictionary = problem.x.to(device), problem.dictionary.to(device)
            problem = replace(problem, x=x, dictionary=dictionary)
            keep(time_problem(problem, chosen.seconds))
            if spec in HALVED[chosen.size]:
                keep(time_problem(halved(problem), chosen.seconds))

    keep(time_machine(device, chosen.size, 0.3))
    keep_problems(OMP[chosen.size])
    if device.type == "cuda":
        keep(time_kernels(device, chosen.size))
    keep_problems(LASSO[chosen.size])  # last: the slowest, should the time run out
    return 0


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


if __name__ == "__main__":
    sys.exit(main())
