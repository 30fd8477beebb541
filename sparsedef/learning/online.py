"""Online dictionary learning: one pass of coding and one of atoms for each minibatch."""

from __future__ import annotations

import math
import os
import time
from typing import ClassVar

import torch
from torch import Tensor

from sparsedef.backends import Status
from sparsedef.learning.atoms import (
    SPARE,
    check_init,
    code_statistics,
    first_atoms,
    replace,
    update_atoms,
)
from sparsedef.learning.coding import Coding, check_signals
from sparsedef.learning.learner import Learner, check_flags, progress_bar
from sparsedef.learning.ranks import ALONE, Ranks
from sparsedef.learning.shards import Shard, epoch_order
from sparsedef.solvers.checks import check_count

MEMORY = 10  # times N: signals that are remembered, whatever the forgetting
DEAD = 10  # times N: signals after which an atom that none of them uses is dead


class OnlineLearner(Learner):
    """Learns a dictionary from minibatches, for data of any size or without an end.

    Minimises over D the mean of min_z 1/2 ||x - z D||^2 + alpha ||z||_1 (``coder="lasso"``), or of
    1/2 ||x - z D||^2 with OMP's codes of at most ``n_nonzero`` atoms (``coder="omp"``). For each
    minibatch it codes X as Z with the atoms as they are, adds Z^T Z and Z^T X to weighted sums A
    and B, and moves each atom in turn to where 1/2 tr(D^T A D) - tr(D^T B) is least. Atoms have
    norm at most 1 (LASSO; those in use end at 1) or 1 (OMP). Memory: N^2 + 2 N M numbers and one
    minibatch with its codes. The same seed, data, order and dtype give the same dictionary, on a
    CPU with the C++ backend whatever the number of threads.

    Args:
        n_atoms: N.
        coder: ``"lasso"`` or ``"omp"``.
        alpha: Penalty of the LASSO, absolute: there is no 1/M and no 1/B.
        n_nonzero: Support size of OMP.
        nonnegative_codes: Demand z >= 0.
        nonnegative_atoms: Demand D >= 0.
        batch_size: Signals in a minibatch of ``fit``, of all ranks together.
        n_epochs: Passes of ``fit`` over the data, each in an order of its own.
        forgetting: rho >= 0: a signal seen when there had been n weighs (n / n_now)^rho in the
            sums, except that never fewer than about 10 N signals are remembered. 0: all weigh the
            same, which converges more slowly, because the first codes were of poor atoms.
        init: Atoms to start from, ``[N, M]``, brought to norm 1. ``None``: signals drawn by
            ``seed``.
        seed: Of the first atoms and of the orders.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.

    Attributes:
        n_seen: Signals seen so far.
        objective: Pairs of ``n_seen`` after a minibatch and its mean objective before its update.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument is out of its range, or missing for the coder.

    Example:
        >>> import torch
        >>> draw = torch.Generator().manual_seed(0)
        >>> x = torch.randn(200, 8, generator=draw)
        >>> learner = OnlineLearner(12, alpha=0.5, batch_size=50, n_epochs=4).fit(x)
        >>> learner.dictionary.shape, learner.n_seen, len(learner.objective)
        (torch.Size([12, 8]), 800, 16)
        >>> learner.objective[-1][1] < learner.objective[0][1]
        True

    Source: Mairal, Bach, Ponce, Sapiro, "Online learning for matrix factorization and sparse
    coding", 2010: algorithms 1 and 2, sections 3.4.1 (forgetting) and 3.4.4 (dead atoms).
    """

    n_seen: int
    _gram: Tensor  # A [N, N]
    _cross: Tensor  # B [N, M]
    _idle: Tensor  # [N] signals since each atom was used last

    LEARNED: ClassVar[tuple[str, ...]] = (
        "_dictionary", "_gram", "_cross", "_idle", "n_seen", "objective", "_n_done", "_data",
    )  # fmt: skip

    def __init__(
        self,
        n_atoms: int,
        *,
        coder: str = "lasso",
        alpha: float | None = None,
        n_nonzero: int | None = None,
        nonnegative_codes: bool = False,
        nonnegative_atoms: bool = False,
        batch_size: int = 1024,
        n_epochs: int = 10,
        forgetting: float = 15.0,
        init: Tensor | None = None,
        seed: int = 0,
        backend: str = "auto",
    ) -> None:
        """Checks and keeps the settings; nothing is learned before ``fit`` or ``partial_fit``."""
        who = "OnlineLearner"
        self.n_atoms = check_count(who, "n_atoms", n_atoms)
        self.batch_size = check_count(who, "batch_size", batch_size)
        self.n_epochs = check_count(who, "n_epochs", n_epochs)
        self.seed = check_count(who, "seed", seed, least=0)
        check_flags(who, nonnegative_codes=nonnegative_codes, nonnegative_atoms=nonnegative_atoms)
        if not 0 <= forgetting < math.inf:
            raise ValueError(f"{who}: forgetting must be finite and >= 0, got {forgetting}")
        self.coding = Coding(coder, alpha, n_nonzero, nonnegative_codes, backend)
        self.coding.check(who)
        self.nonnegative_atoms = nonnegative_atoms
        self.forgetting = float(forgetting)
        self.init = init
        self.settings = {
            "n_atoms": n_atoms,
            "coder": coder,
            "alpha": alpha,
            "n_nonzero": n_nonzero,
            "nonnegative_codes": nonnegative_codes,
            "nonnegative_atoms": nonnegative_atoms,
            "batch_size": batch_size,
            "n_epochs": n_epochs,
            "forgetting": self.forgetting,
            "seed": seed,
            "backend": backend,
        }
        self._forget()

    def fit(
        self,
        x: Tensor,
        *,
        progress: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: float = 30.0,
        ranks: Ranks = ALONE,
    ) -> OnlineLearner:
        """Learns from the rows of ``x`` in shuffled minibatches, from the beginning.

        Args:
            x: Signals, ``[B, M]``, float32 or float64 (half precision becomes float32), on any
                device; with several ranks this rank's rows, those of all ranks follow each other.
            progress: Show a bar with the objective (rank 0 only).
            checkpoint: A file: written now and then and at the end, by rank 0. When it is there
                already, learning goes on from it, and ends with the bytes that it would have
                ended with had it never stopped.
            checkpoint_every: Seconds between two writes.
            ranks: The processes that share the work.

        Returns:
            The learner itself.

        Raises:
            TypeError: ``x`` is no tensor, or of a wrong dtype.
            ValueError: ``x`` has a wrong shape, no row, or NaN or infinity; or the checkpoint is
                of other settings or other data.
        """
        who = "OnlineLearner.fit"
        x = check_signals(who, x)
        shard = Shard(x, ranks)
        if shard.n_rows == 0:
            raise ValueError(f"{who}: x must have at least one row, got {list(x.shape)}")
        self._start(who, x, checkpoint, ranks)
        per_epoch = -(-shard.n_rows // self.batch_size)
        n_batches = self.n_epochs * per_epoch
        written, epoch, order = time.monotonic(), -1, torch.empty(0)
        with progress_bar(progress and ranks.rank == 0, n_batches, self._n_done, "batch") as bar:
            while self._n_done < n_batches:
                if epoch != self._n_done // per_epoch:
                    epoch = self._n_done // per_epoch
                    order = epoch_order(shard.n_rows, self.seed, epoch)
                if self._dictionary is None:
                    self._begin(who, shard, order, ranks)
                start = self._n_done % per_epoch * self.batch_size
                self._step(who, shard.take(order[start : start + self.batch_size]), ranks)
                self._n_done += 1
                bar.update(1)
                bar.set_postfix(objective=f"{self.objective[-1][1]:.4g}", refresh=False)
                is_due = time.monotonic() - written >= checkpoint_every
                if checkpoint is not None and ranks.rank == 0 and is_due:
                    self.save(checkpoint)
                    written = time.monotonic()
        if checkpoint is not None and ranks.rank == 0:
            self.save(checkpoint)
        return self

    def partial_fit(self, x: Tensor, *, ranks: Ranks = ALONE) -> OnlineLearner:
        """Learns from one minibatch: the rows of ``x``, of all ranks together.

        Args:
            x: Signals, ``[B, M]``, as for ``fit``. The first minibatch also gives the first atoms,
                unless there is ``init``: it should have N rows or more.
            ranks: The processes that share the work.

        Returns:
            The learner itself.

        Raises:
            TypeError: ``x`` is no tensor, or of a wrong dtype.
            ValueError: ``x`` has a wrong shape, dtype or device for what was learned, or NaN or
                infinity.
        """
        who = "OnlineLearner.partial_fit"
        x = check_signals(who, x, self._dictionary)
        if self._dictionary is None:
            shard = Shard(x, ranks)
            self._begin(who, shard, epoch_order(shard.n_rows, self.seed, 0), ranks)
        self._step(who, x, ranks)
        return self

    def _forget(self) -> None:
        super()._forget()
        self.n_seen = 0

    def _begin(self, who: str, shard: Shard, order: Tensor, ranks: Ranks) -> None:
        x = shard.x
        if self.init is not None:
            atoms = check_init(who, self.init, self.n_atoms, x, self.nonnegative_atoms)
        else:
            rows = shard.gather(order[: SPARE * self.n_atoms], ranks)
            atoms = first_atoms(rows, self.n_atoms, self.nonnegative_atoms, self.seed)
        self._dictionary = atoms
        self._gram = x.new_zeros(self.n_atoms, self.n_atoms)
        self._cross = torch.zeros_like(atoms)
        self._idle = torch.zeros(self.n_atoms, dtype=torch.int64, device=x.device)

    @torch.no_grad()
    def _step(self, who: str, x: Tensor, ranks: Ranks) -> None:
        atoms, backend = self.dictionary, self.coding.backend
        code = self.coding.code(x, atoms)
        assert code.indices is not None
        assert code.values is not None
        is_lost = code.status == int(Status.NONFINITE)
        count, objective = x.new_tensor(float(len(x))), self.coding.objective(code).sum()
        figures = torch.stack([count, objective, is_lost.sum().to(x)])
        gram, cross, usage = code_statistics(x, code.indices, code.values, self.n_atoms, backend)
        if ranks.n_ranks > 1:
            parts = (gram, cross, usage, figures)
            summed = ranks.sum(torch.cat([part.flatten() for part in parts]))
            pieces = summed.split([part.numel() for part in parts])
            gram, cross, usage, figures = (
                piece.view_as(part) for piece, part in zip(pieces, parts, strict=True)
            )
        n_signals, total, n_lost = figures.tolist()
        if n_lost:
            raise ValueError(
                f"{who}: x must be finite, got {n_lost:.0f} rows with NaN or infinity in a"
                " minibatch (x[x.isfinite().all(dim=1)] leaves them out)"
            )
        if n_signals == 0:
            return
        n_new = int(n_signals)
        kept = self._kept(n_new)
        self._gram.mul_(kept).add_(gram)
        self._cross.mul_(kept).add_(cross)
        self._idle = (self._idle + n_new).masked_fill_(usage > 0, 0)
        self._dictionary = update_atoms(
            atoms,
            self._gram,
            self._cross,
            self.nonnegative_atoms,
            self.coding.coder == "omp",
            backend,
        )
        self.n_seen += n_new
        self.objective.append((self.n_seen, total / n_new))
        self._revive(x, code.residual, ranks)

    def _kept(self, count: int) -> float:
        """The weight of what was seen before, next to ``count`` new signals."""
        if self.forgetting == 0:
            return 1.0
        memory = MEMORY * self.n_atoms
        share = (self.n_seen / (self.n_seen + count)) ** self.forgetting
        return max(share, memory / (memory + count))

    def _revive(self, x: Tensor, residual: Tensor, ranks: Ranks) -> None:
        """Replaces atoms that nothing has used for long, and forgets what was known of them."""
        is_dead = self._idle >= DEAD * self.n_atoms
        if not bool(is_dead.any()):
            return
        self._dictionary, is_new = replace(
            self.dictionary, is_dead, x, residual, self.nonnegative_atoms, ranks
        )
        self._gram.masked_fill_(is_new | is_new[:, None], 0)
        self._cross.masked_fill_(is_new[:, None], 0)
        self._idle.masked_fill_(is_new, 0)
