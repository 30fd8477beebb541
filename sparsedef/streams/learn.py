"""Learns a dictionary from files of any size; a stopped run goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsedef.learning import OnlineLearner
from sparsedef.learning.atoms import SPARE, first_atoms
from sparsedef.solvers.checks import check_count
from sparsedef.streams.coding import to_device
from sparsedef.streams.learn_job import LearnJob
from sparsedef.streams.ranks import Processes, local_rank
from sparsedef.streams.row_order import RowOrder, read_ranges
from sparsedef.streams.sources import SUFFIXES, Signals, open_signals


def learn(
    inputs: Sequence[str | Path],
    out: str | Path,
    n_atoms: int,
    *,
    alpha: float | None = None,
    n_nonzero: int | None = None,
    nonnegative_codes: bool = False,
    nonnegative_atoms: bool = False,
    batch_size: int = 1024,
    n_epochs: int = 1,
    forgetting: float = 15.0,
    seed: int = 0,
    unit_signals: bool = False,
    block_rows: int = 64,
    checkpoint_every: float = 30.0,
    key: str | None = None,
    dtype: torch.dtype | None = None,
    device: str = "auto",
    backend: str = "auto",
    is_silent: bool = False,
    ranks: Processes | None = None,
) -> Path:
    """Learns atoms in which the rows of ``inputs`` are sparse, minibatch by minibatch.

    What :class:`sparsedef.learning.OnlineLearner` minimises: the mean over signals of
    ``1/2 ||x - z D||^2 + alpha ||z||_1`` (no 1/M), or of the residual with at most ``n_nonzero``
    atoms, over unit-norm atoms D. It starts at the first signals of the shuffled order. The same
    command gives the same bytes, stopped or not; several ranks, which code parts of each minibatch
    and add up their statistics, give the dictionary of one to rounding. Signals with NaN or
    infinity are left out and counted.

    Args:
        inputs: ``.npy`` and ``.safetensors`` files of matrices ``[B, M]``, or folders of them.
        out: Dictionary ``[N, M]``, ``.npy`` or ``.safetensors`` (tensor ``"dictionary"``). Beside
            it ``out.json`` has the settings and the objective of each minibatch, and
            ``out.checkpoint`` what a stopped run needs.
        n_atoms: N.
        alpha: Penalty of the LASSO.
        n_nonzero: In its place: the support size of OMP.
        nonnegative_codes: Demand codes >= 0.
        nonnegative_atoms: Demand atoms >= 0.
        batch_size: Signals of a minibatch, of all ranks together.
        n_epochs: How often every signal is seen.
        forgetting: As for :class:`sparsedef.learning.OnlineLearner`.
        seed: Of the order of the signals.
        unit_signals: Scale each signal to norm 1 first (a zero signal stays zero).
        block_rows: Rows that are read together and stay in one minibatch.
        checkpoint_every: Seconds between checkpoints; it changes nothing else.
        key: Tensor to take of each safetensors input; ``None``: the only 2-d one.
        dtype: Of the work and the dictionary; ``None``: float64 if an input is, else float32.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``: CUDA where there is one.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.
        is_silent: Show no progress bar.
        ranks: Who shares the work; ``None``: nobody. Only rank 0 writes.

    Returns:
        ``out``.

    Raises:
        TypeError: A setting has the wrong type.
        ValueError: A file or a setting is wrong, or ``out`` was begun otherwise.
        BackendError: The forced backend cannot do this.
        ConnectionError: Another rank died.

    Example:
        >>> import numpy, tempfile
        >>> from pathlib import Path
        >>> from sparsedef.streams import learn
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     x = numpy.random.default_rng(0).standard_normal((500, 8))
        ...     numpy.save(Path(folder, "x.npy"), x)
        ...     out = learn([folder], Path(folder, "d.npy"), 12, alpha=0.5, is_silent=True)
        ...     numpy.load(out).shape
        (12, 8)

    Source: Mairal, Bach, Ponce, Sapiro, "Online dictionary learning for sparse coding", 2009.
    """
    ranks = Processes() if ranks is None else ranks
    out = Path(out)

    def open_job() -> LearnJob:
        _check(out, n_atoms, alpha, n_nonzero, batch_size, n_epochs, block_rows, seed)
        signals = open_signals(inputs, key)
        if len(signals) < ranks.n_ranks:
            raise ValueError(f"learn needs a signal for each rank, got {len(signals)} signals")
        work = signals.widest_dtype if dtype is None else dtype
        place = to_device(device, local_rank())
        order = RowOrder(len(signals), batch_size, block_rows, seed)
        settings: dict[str, Any] = {
            "coder": "lasso" if n_nonzero is None else "omp",
            "alpha": alpha,
            "n_nonzero": n_nonzero,
            "nonnegative_codes": nonnegative_codes,
            "nonnegative_atoms": nonnegative_atoms,
            "batch_size": batch_size,
            "n_epochs": n_epochs,
            "forgetting": float(forgetting),
            "seed": seed,
            "backend": backend,
        }
        start = _first_atoms(signals, order, n_atoms, nonnegative_atoms, work, unit_signals)
        learner = OnlineLearner(n_atoms, **settings, init=start.to(place))
        plan = {
            **settings,
            "n_atoms": n_atoms,
            "block_rows": order.block_rows,
            "unit_signals": unit_signals,
            "dtype": str(work).removeprefix("torch."),
            "input": [source.identity() for source in signals.sources],
        }
        n_steps = n_epochs * order.n_batches
        return LearnJob(out, plan, signals, order, learner, n_steps, work, place, unit_signals)

    job = ranks.attempt(open_job)
    ranks.attempt(lambda: job.check_ranks(ranks))
    is_done, content = ranks.attempt(lambda: job.find() if ranks.rank == 0 else (False, b""))
    if ranks.share(b"done" if is_done else b"") == b"done":
        return out
    job.run(ranks.share(content), checkpoint_every, ranks, is_silent=is_silent)
    ranks.attempt(lambda: job.finish() if ranks.rank == 0 else None)
    return out


def _check(
    out: Path,
    n_atoms: int,
    alpha: float | None,
    n_nonzero: int | None,
    batch_size: int,
    n_epochs: int,
    block_rows: int,
    seed: int,
) -> None:
    for name, value in (
        ("n_atoms", n_atoms), ("batch_size", batch_size), ("n_epochs", n_epochs),
        ("block_rows", block_rows),
    ):  # fmt: skip
        check_count("learn", name, value)
    check_count("learn", "seed", seed, least=0)
    if (alpha is None) == (n_nonzero is None):
        got = "neither" if alpha is None else "both"
        raise ValueError(f"one of alpha (LASSO) and n_nonzero (OMP) must be given, got {got}")
    if out.suffix not in SUFFIXES:
        raise ValueError(f"--out must end in {' or '.join(SUFFIXES)}, got {out}")
    if not out.parent.is_dir():
        raise ValueError(f"--out must be in a folder that is there, got {out}")


def _first_atoms(
    signals: Signals,
    order: RowOrder,
    n_atoms: int,
    nonnegative: bool,
    dtype: torch.dtype,
    unit_signals: bool,
) -> Tensor:
    """The first signals of the order, the same for all ranks; some are to spare, for zeros."""
    rows: list[Tensor] = []
    for step in range(order.n_batches):
        if sum(map(len, rows)) >= SPARE * n_atoms:
            break
        rows.append(read_ranges(signals, order.ranges(step), dtype))
    x = torch.cat(rows)[: SPARE * n_atoms]
    return first_atoms(normalize(x, dim=1) if unit_signals else x, n_atoms, nonnegative, order.seed)
