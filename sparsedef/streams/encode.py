"""Codes files of any size in bounded memory; what is finished is never redone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from sparsedef.streams.coding import Coder, Coding, read_dictionary, to_device, widest
from sparsedef.streams.encode_job import EncodeJob, cut_rows
from sparsedef.streams.ranks import Processes, local_rank
from sparsedef.streams.sources import open_signals, open_source

MAX_MEMORY = 1 << 30


def encode(
    inputs: Sequence[str | Path],
    dictionary: str | Path,
    out: str | Path,
    coding: Coding,
    *,
    key: str | None = None,
    dictionary_key: str | None = None,
    dtype: torch.dtype | None = None,
    device: str = "auto",
    max_memory: int = MAX_MEMORY,
    shard_rows: int | None = None,
    chunk_rows: int | None = None,
    residual_norm: bool = False,
    is_silent: bool = False,
    ranks: Processes | None = None,
) -> Path:
    """Codes all rows of ``inputs`` into files of ``out``, and goes on where it was stopped.

    Every signal's code is that of :func:`sparsedef.lasso` or :func:`sparsedef.omp`. One output
    file holds ``shard_rows`` signals in the order of the inputs; its name and bytes depend neither
    on interruptions nor on the number of ranks (on one kind of machine; across kinds the C++
    backend keeps OMP's bits, and the LASSO is equal within its certificate).

    Args:
        inputs: ``.npy`` and ``.safetensors`` files of matrices ``[B, M]``, or folders of them.
        dictionary: ``.npy`` or ``.safetensors`` file of ``[N, M]``, an atom per row.
        out: Folder of the results, made if need be; all ranks must see the same one.
        coding: Which codes are wanted.
        key: Tensor to take of each safetensors input; ``None``: the only 2-d one.
        dictionary_key: Likewise of the dictionary.
        dtype: Of the work and the values; ``None``: float64 if an input or the dictionary is, else
            float32.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``: CUDA where there is one.
        max_memory: Bytes for all that grows with rows, beside the dictionary, per rank: half for
            the solver, a quarter for a chunk, a quarter for the codes of a shard.
        shard_rows: Signals per file; ``None``: 65,536, or fewer where their codes need the memory.
        chunk_rows: Signals coded at once; ``None``: 8,192. Fewer where they need the memory.
        residual_norm: Keep ``||x - z D||`` of each signal.
        is_silent: Show no progress bar.
        ranks: Who shares the work; ``None``: nobody.

    Returns:
        ``out``, which :func:`sparsedef.streams.read_codes` reads. Its ``manifest.json`` says how
        many signals ended how, and the largest gap.

    Raises:
        TypeError: The solver refuses a type.
        ValueError: A file, a setting or the memory is wrong, or ``out`` was begun otherwise.
        BackendError: The forced backend cannot do this.
        ConnectionError: Another rank died.

    Example: see :func:`sparsedef.streams.read_codes`.
    """
    ranks = Processes() if ranks is None else ranks

    def open_job() -> EncodeJob:
        signals = open_signals(inputs, key)
        atoms = read_dictionary(dictionary, dictionary_key)
        work = widest(signals.widest_dtype, atoms.dtype) if dtype is None else dtype
        if atoms.shape[1] != signals.n_features:
            is_transposed = atoms.shape[0] == signals.n_features
            hint = " (transposed? save dictionary.T)" if is_transposed else ""
            raise ValueError(
                f"dictionary must be [N, {signals.n_features}] to match the inputs' rows, got"
                f" {list(atoms.shape)} in {dictionary}{hint}"
            )
        (n_atoms, n_features) = atoms.shape
        sizes = cut_rows(coding, (n_atoms, n_features), work, max_memory, shard_rows, chunk_rows)
        atoms = atoms.to(to_device(device, local_rank()), work)
        plan = {
            "coding": coding.to_json(),
            "dictionary": open_source(Path(dictionary), dictionary_key).identity(),
            "input": [source.identity() for source in signals.sources],
            "dtype": str(work).removeprefix("torch."),
            "residual_norm": residual_norm,
            **vars(sizes),
        }
        coder = Coder(coding, atoms, max_memory=sizes.solver_memory)
        return EncodeJob(Path(out), plan, signals, coder, sizes)

    job = ranks.attempt(open_job)
    ranks.attempt(lambda: job.begin(ranks))
    ranks.attempt(job.check_shared)
    todo = job.missing(ranks)
    job.run(todo[ranks.rank :: ranks.n_ranks], ranks, is_silent=is_silent)
    ranks.wait()  # for the last shard
    ranks.attempt(lambda: job.finish() if ranks.rank == 0 else None)
    return Path(out)
