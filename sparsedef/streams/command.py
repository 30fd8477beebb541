"""``sparsedef encode`` and ``sparsedef learn``: their options, and mistakes in plain sentences."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from sparsedef.backends import ORDER, BackendError
from sparsedef.streams.codes import MANIFEST
from sparsedef.streams.coding import DTYPES, Coding
from sparsedef.streams.encode import MAX_MEMORY, encode
from sparsedef.streams.learn import learn
from sparsedef.streams.ranks import Processes, join_ranks

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def add_arguments(verb: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``sparsedef encode`` or ``learn`` to ``parser``."""
    if verb == "encode":
        _add_encode(parser)
    else:
        _add_learn(parser)


def run(verb: str, arguments: argparse.Namespace) -> int:
    """Runs ``sparsedef encode`` or ``learn``; returns the exit status."""
    return _run_encode(arguments) if verb == "encode" else _run_learn(arguments)


def _add_encode(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Finds the sparse code of every row of INPUT, whatever its size, and writes them to DIR, a "
        "file per so many rows. A stopped run goes on where it was; torchrun -m sparsedef encode "
        "... shares the work over processes and machines. sparsedef.streams.read_codes(DIR) reads "
        "the result."
    )
    _add_inputs(parser)
    parser.add_argument(
        "--dictionary", required=True, type=Path, metavar="D", help="[N, M], .npy or .safetensors"
    )
    parser.add_argument("--dictionary-key", metavar="NAME", help="its tensor (default: the only)")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of results")
    lasso = parser.add_argument_group("LASSO")
    lasso.add_argument("--alpha", type=float, help="penalty (no 1/M)")
    lasso.add_argument(
        "--relative", action="store_true", help="alpha is a fraction of each signal's largest"
    )
    lasso.add_argument("--target-l0", type=_count, metavar="K", help="nonzeros of each signal")
    omp = parser.add_argument_group("OMP")
    omp.add_argument("--n-nonzero", type=_count, metavar="K", help="most atoms of a signal")
    omp.add_argument("--selection", choices=("omp", "ols"), default="omp")
    both = parser.add_argument_group("both")
    both.add_argument(
        "--tol", type=float, help="OMP: squared residual to stop at; LASSO: relative gap"
    )
    both.add_argument("--nonnegative", action="store_true", help="codes >= 0")
    both.add_argument(
        "--normalize", action="store_true",
        help="choose as if all atoms had norm 1; codes are for the atoms as given",
    )  # fmt: skip
    both.add_argument(
        "--unit-signals", action="store_true", help="scale each signal to norm 1 first"
    )
    both.add_argument("--residual-norm", action="store_true", help="keep each ||x - z D||")
    parser.add_argument(
        "--shard-rows", type=_count, metavar="B", help="signals per file (default: 65536)"
    )
    parser.add_argument(
        "--chunk-rows", type=_count, metavar="B", help="signals coded at once (default: 8192)"
    )
    parser.add_argument(
        "--max-memory", type=_bytes, default=MAX_MEMORY, metavar="SIZE",
        help="for all that grows with rows, per process, such as 500M (default: 1G)",
    )  # fmt: skip
    _add_machine(parser)


def _run_encode(arguments: argparse.Namespace) -> int:

    def work(ranks: Processes) -> str:
        names = (
            "alpha relative target_l0 n_nonzero tol nonnegative selection normalize unit_signals"
            " backend"
        )
        out = encode(
            arguments.inputs,
            arguments.dictionary,
            arguments.out,
            Coding(**{name: getattr(arguments, name) for name in names.split()}),
            key=arguments.key,
            dictionary_key=arguments.dictionary_key,
            dtype=_dtype(arguments),
            device=arguments.device,
            max_memory=arguments.max_memory,
            shard_rows=arguments.shard_rows,
            chunk_rows=arguments.chunk_rows,
            residual_norm=arguments.residual_norm,
            is_silent=arguments.quiet,
            ranks=ranks,
        )
        return _summary(out)

    return _run("encode", arguments, work)


def _add_learn(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Learns a dictionary in which the rows of INPUT are sparse, online over shuffled "
        "minibatches. A stopped run goes on where it was; torchrun -m sparsedef learn ... shares "
        "each minibatch over processes and machines."
    )
    _add_inputs(parser)
    parser.add_argument("--n-atoms", required=True, type=_count, metavar="N")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE",
        help="dictionary [N, M], .npy or .safetensors",
    )  # fmt: skip
    parser.add_argument("--alpha", type=float, help="penalty of the LASSO (no 1/M)")
    parser.add_argument("--n-nonzero", type=_count, metavar="K", help="in its place: OMP")
    parser.add_argument("--nonnegative-codes", action="store_true")
    parser.add_argument("--nonnegative-atoms", action="store_true")
    parser.add_argument(
        "--unit-signals", action="store_true", help="scale each signal to norm 1 first"
    )
    parser.add_argument(
        "--batch-size", type=_count, default=1024, metavar="B",
        help="signals of a minibatch, of all ranks together (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--n-epochs", type=_count, default=1, help="(default: %(default)s)")
    parser.add_argument("--forgetting", type=float, default=15.0, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the order (default: %(default)s)")
    parser.add_argument(
        "--block-rows", type=_count, default=64, metavar="B",
        help="rows that are read together and stay together (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint-every", type=float, default=30.0, metavar="SECONDS",
        help="(default: %(default)s)",
    )  # fmt: skip
    _add_machine(parser)


def _run_learn(arguments: argparse.Namespace) -> int:
    names = (
        "out n_atoms alpha n_nonzero nonnegative_codes nonnegative_atoms unit_signals batch_size"
        " n_epochs forgetting seed block_rows checkpoint_every key device backend"
    )

    def work(ranks: Processes) -> str:
        options = {name: getattr(arguments, name) for name in names.split()}
        is_silent, dtype = arguments.quiet, _dtype(arguments)
        out = learn(arguments.inputs, dtype=dtype, is_silent=is_silent, ranks=ranks, **options)
        about = json.loads(out.with_name(out.name + ".json").read_text())
        n_seen, objective = about["objective"][-1]
        left_out = about["n_left_out"]
        return (
            f"{arguments.n_atoms} atoms from {n_seen} signals"
            + (f" ({left_out} with NaN or infinity left out)" if left_out else "")
            + f"; objective {objective:.6g} in the last minibatch\n{out}; its settings and curve"
            f" are in {out.name}.json"
        )

    return _run("learn", arguments, work)


def _summary(out: Path) -> str:
    manifest = json.loads((out / MANIFEST).read_text())
    n_signals = manifest["n_signals"]
    status = ", ".join(f"{n} {name}" for name, n in manifest["status"].items() if n)
    gap = manifest["largest_gap"]
    return (
        f"{n_signals} signals over {manifest['n_atoms']} atoms: {status or 'none'};"
        f" {manifest['n_nonzero'] / max(n_signals, 1):.1f} nonzeros each"
        + ("" if gap is None else f", largest gap {gap:.1e}")
        + f"\n{len(manifest['shards'])} files and {MANIFEST} in {out}"
    )


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs", nargs="+", type=Path, metavar="INPUT",
        help=".npy or .safetensors files of [B, M], or folders of them",
    )  # fmt: skip
    parser.add_argument("--key", metavar="NAME", help="tensor of safetensors inputs")


def _add_machine(parser: argparse.ArgumentParser) -> None:
    machine = parser.add_argument_group("machine")
    machine.add_argument(
        "--dtype", choices=("auto", *DTYPES), default="auto",
        help="of the work (default: float64 if a file is, else float32)",
    )  # fmt: skip
    machine.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    machine.add_argument("--backend", choices=("auto", *ORDER), default="auto")
    machine.add_argument("--threads", type=_count, help="of torch (default: torch's choice)")
    machine.add_argument("--quiet", action="store_true", help="no progress, no summary")


def _run(verb: str, arguments: argparse.Namespace, work: Callable[[Processes], str]) -> int:
    """Does the work on all ranks; a mistake is told in a sentence, by the rank that has it."""
    who = f"sparsedef {verb}"
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    try:
        with join_ranks() as ranks:
            if ranks.n_ranks > 1:
                who += f" (rank {ranks.rank})"
            told = work(ranks)
            if ranks.rank == 0 and not arguments.quiet:
                print(told)
    except (ValueError, TypeError, BackendError) as mistake:
        print(f"{who}: {mistake}", file=sys.stderr)
        return 2
    except (OSError, ImportError) as failure:
        print(f"{who}: {failure}", file=sys.stderr)
        return 1
    return 0


def _dtype(arguments: argparse.Namespace) -> torch.dtype | None:
    return DTYPES.get(arguments.dtype)


def _count(text: str) -> int:
    if not re.fullmatch(r"\d+", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")
    return int(text)


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+)([KMGT]?)(i?B)?", text, re.IGNORECASE)
    if not found:
        raise argparse.ArgumentTypeError(f"must be bytes, or such as 500M or 2G, got {text}")
    return int(found[1]) * _UNITS[found[2].upper()]
