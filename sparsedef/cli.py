"""The command ``sparsedef``: one verb for each thing that a user does from a shell."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import sparsedef
from sparsedef import config
from sparsedef.backends import ORDER
from sparsedef.version import __version__

BENCHES = {op: [f"bench_{op}.py"] for op in ("lasso", "omp", "patches", "dictionary")}
GPU = "gpu"  # every backend and kernel of a GPU, as benchmarks/gpu.sh times them
BENCHES["all"] = [name for names in BENCHES.values() for name in names]
SIZES = ("tiny", "small", "full")
COMMANDS = {
    "train": "train a classifier, adversarially or not, or a defense; resumes",
    "evaluate": "attack any classifier behind any defense, and report it honestly",
    "reproduce": "a paper's experiments, with the attacks that it lacks",
    "patches": "write the training patches of a data set, for sparsedef learn",
}
STREAMS = {
    "encode": "find the sparse code of every row of files of any size; resumes, shards",
    "learn": "learn a dictionary from files of any size; resumes, shards",
}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
NEEDED = {"pytest": "pytest", "pytest_benchmark": "pytest-benchmark", "sklearn": "scikit-learn"}
# In the checkout's folder, but with the sparsedef that was asked, installed or not.
RUN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import runpy, sparsedef
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status (130 when it was interrupted)."""
    parser = argparse.ArgumentParser(
        prog="sparsedef", description="Sparse coding with certificates, and honest defenses."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("doctor", help="say what is active here and check it in two seconds")
    demo = commands.add_parser(
        "demo", help="attack a classifier, defend it by sparse coding, attack it adaptively"
    )
    _add_demo_arguments(demo)
    bench = commands.add_parser("bench", help="time the solvers against their peers, checked first")
    _add_bench_arguments(bench)
    for verb, about in STREAMS.items():
        _add_stream_arguments(verb, commands.add_parser(verb, help=about))
    for verb, about in COMMANDS.items():
        _command(verb).add_arguments(commands.add_parser(verb, help=about))
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "doctor":
            return 0 if config.doctor() else 1
        if arguments.command == "bench":
            return _bench(arguments)
        if arguments.command in COMMANDS:
            status: int = _command(arguments.command).run(arguments)
            return status
        if arguments.command in STREAMS:
            from sparsedef.streams import command

            return command.run(arguments.command, arguments)
        from sparsedef.demo import main as run_demo

        return run_demo(arguments)
    except KeyboardInterrupt:
        print("\ninterrupted; what is finished is kept, the same command goes on", file=sys.stderr)
        return 130


def _command(verb: str) -> ModuleType:
    return import_module(f"sparsedef.commands.{verb}")


def _add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    from sparsedef.demo import add_arguments

    add_arguments(parser)


def _add_stream_arguments(verb: str, parser: argparse.ArgumentParser) -> None:
    from sparsedef.streams import command

    command.add_arguments(verb, parser)


def _add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Times sparsedef against every peer that is installed, in turns, after each has passed a "
        "check of its answer in float64, and prints the table. A stopped run continues where it "
        "was. The benchmarks are in the repository, not in the installed package. gpu times every "
        "backend and kernel on a GPU (tiny or full)."
    )
    parser.add_argument("op", choices=[*BENCHES, GPU], help="what to time")
    parser.add_argument("--size", choices=SIZES, default="small", help="(default: %(default)s)")
    parser.add_argument(
        "--threads", type=_count, nargs="+", default=sorted({1, os.cpu_count() or 1}),
        help="for everybody, in turn (default: 1 and all)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="FILE.json",
        help="results (default: ./sparsedef-bench-OP-SIZE.json)",
    )  # fmt: skip
    parser.add_argument(
        "--backend", choices=("auto", *ORDER), default="auto", help="(default: %(default)s)"
    )


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {count}")
    return count


def _bench(arguments: argparse.Namespace) -> int:
    """Runs the checkout's benchmarks in a process of their own, then prints the tables."""
    root = _find_benchmarks()
    if root is None:
        print(
            "sparsedef bench: the benchmarks are not part of the installed package: clone the "
            "repository and run this command in its folder",
            file=sys.stderr,
        )
        return 1
    if arguments.op == GPU:
        return _bench_gpu(root, arguments)
    missing = [name for module, name in NEEDED.items() if find_spec(module) is None]
    if missing:
        print(
            f"sparsedef bench: {', '.join(missing)} must be installed: "
            "pip install 'sparsedef[bench]'",
            file=sys.stderr,
        )
        return 1
    out = arguments.out or Path(f"sparsedef-bench-{arguments.op}-{arguments.size}.json")
    out = out.resolve()
    status = _run_benchmarks(root, out, arguments)
    part = out.with_name(out.name + ".part")
    results = part if status != 0 else out
    if results.exists():
        print()
        subprocess.run(
            [sys.executable, "-m", "benchmarks.report", str(results)], cwd=root, check=True
        )
    if status == 0:
        print(f"\nwritten to {out}")
    elif results.exists():
        print(f"\nnot complete; finished rows are in {results}, the same command goes on")
    return 130 if status == 2 else status


def _bench_gpu(root: Path, arguments: argparse.Namespace) -> int:
    """Times every backend and kernel on the GPU, then prints README's table of them."""
    import torch

    if not torch.cuda.is_available():
        print(
            "sparsedef bench gpu: torch sees no GPU (benchmarks/gpu.sh --dry-run rehearses "
            "without one)",
            file=sys.stderr,
        )
        return 1
    out = (arguments.out or Path("sparsedef-bench-gpu.json")).resolve()
    size = "tiny" if arguments.size == "tiny" else "full"
    command = [*_run("benchmarks.gpu_timings"), "--size", size, "--out", str(out)]
    status = subprocess.run(command, cwd=root, check=False).returncode
    if out.exists():
        print()
        subprocess.run(
            [sys.executable, "-m", "benchmarks.report_gpu", str(out)], cwd=root, check=True
        )
        print(f"\nwritten to {out}")
    return status


def _run_benchmarks(root: Path, out: Path, arguments: argparse.Namespace) -> int:
    counts = [str(count) for count in arguments.threads]
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    # Before anything that does arithmetic is imported.
    threads = dict.fromkeys(THREAD_VARIABLES, str(max(arguments.threads)))
    command = [
        *_run("pytest"),
        *(str(root / "benchmarks" / name) for name in BENCHES[arguments.op]),
        *("-q", "--no-header", "--tb=short", "--benchmark-quiet", "-p", "no:cacheprovider"),
        *("-o", "console_output_style=classic", "--rootdir", str(root)),
        *("--size", arguments.size, "--backend", arguments.backend, "--out", str(out)),
        *("--threads", *counts),
    ]
    return subprocess.run(command, cwd=root, env={**own, **threads}, check=False).returncode


def _run(module: str) -> list[str]:
    return [sys.executable, "-c", RUN, str(_home()), module]


def _home() -> Path:
    """The folder that holds the sparsedef which was asked."""
    return Path(sparsedef.__file__).resolve().parents[1]


def _find_benchmarks() -> Path | None:
    """The checkout that holds the benchmarks: where sparsedef lies, or the current folder."""
    for root in (_home(), Path.cwd()):
        if (root / "benchmarks" / "bench_lasso.py").is_file():
            return root
    return None
