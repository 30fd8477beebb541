"""K-SVD: pursuits of all signals and one pass over the atoms, in turns."""

from __future__ import annotations

import os
from typing import ClassVar

import torch
from torch import Tensor

from sparsedef.learning.atoms import SPARE, check_init, first_atoms, replace
from sparsedef.learning.coding import Coding, check_signals
from sparsedef.learning.learner import Learner, check_flags, progress_bar
from sparsedef.learning.ranks import ALONE
from sparsedef.learning.shards import epoch_order
from sparsedef.ops.library import as_given
from sparsedef.solvers.checks import check_count

TWINS = 0.99  # cosine of two atoms from which on the later one is given up


class KSVD(Learner):
    """Learns a dictionary for pursuits from all signals at once, by approximate K-SVD.

    Minimises the mean of 1/2 ||x - z D||^2 over codes z of at most ``n_nonzero`` atoms and over
    atoms of norm 1. A round codes all signals by OMP; then each atom in turn, and the codes of the
    signals that use it, become a rank-one fit of what the other atoms leave of these signals, by
    one power iteration. No step of that pass raises the objective; the pursuit may. Atoms that no
    signal uses, or that are nearly the same as another, begin anew at the worst coded signals.
    Memory beside ``x``: one residual ``[B, M]`` and codes ``[B, K]``, never B x N numbers.

    Args:
        n_atoms: N.
        n_nonzero: Support size K of the pursuits.
        nonnegative_codes: Demand z >= 0.
        nonnegative_atoms: Demand D >= 0.
        n_iter: Rounds.
        init: Atoms to start from, ``[N, M]``, brought to norm 1. ``None``: signals drawn by
            ``seed``.
        seed: Of the first atoms.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``, for OMP.

    Attributes:
        objective: Pairs of a round, from 1, and the mean objective after its pass over the atoms.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument is out of its range.

    Example:
        >>> import torch
        >>> draw = torch.Generator().manual_seed(0)
        >>> x = torch.randn(200, 8, generator=draw)
        >>> learner = KSVD(12, 2, n_iter=5).fit(x)
        >>> learner.objective[-1][1] < learner.objective[0][1]
        True

    Source: Aharon, Elad, Bruckstein, 2006; Rubinstein, Zibulevsky, Elad, "Efficient implementation
    of the K-SVD algorithm using batch orthogonal matching pursuit", 2008, section 5.
    """

    LEARNED: ClassVar[tuple[str, ...]] = ("_dictionary", "objective", "_n_done", "_data")

    def __init__(
        self,
        n_atoms: int,
        n_nonzero: int,
        *,
        nonnegative_codes: bool = False,
        nonnegative_atoms: bool = False,
        n_iter: int = 20,
        init: Tensor | None = None,
        seed: int = 0,
        backend: str = "auto",
    ) -> None:
        """Checks and keeps the settings; nothing is learned before ``fit``."""
        who = "KSVD"
        self.n_atoms = check_count(who, "n_atoms", n_atoms)
        self.n_iter = check_count(who, "n_iter", n_iter)
        self.seed = check_count(who, "seed", seed, least=0)
        check_flags(who, nonnegative_codes=nonnegative_codes, nonnegative_atoms=nonnegative_atoms)
        self.coding = Coding("omp", None, n_nonzero, nonnegative_codes, backend)
        self.coding.check(who)
        self.nonnegative_atoms = nonnegative_atoms
        self.init = init
        self.settings = {
            "n_atoms": n_atoms,
            "n_nonzero": n_nonzero,
            "nonnegative_codes": nonnegative_codes,
            "nonnegative_atoms": nonnegative_atoms,
            "n_iter": n_iter,
            "seed": seed,
            "backend": backend,
        }
        self._forget()

    @torch.no_grad()
    def fit(
        self,
        x: Tensor,
        *,
        progress: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> KSVD:
        """Learns from the rows of ``x``, from the beginning.

        Args:
            x: Signals, ``[B, M]``, float32 or float64 (half precision becomes float32).
            progress: Show a bar with the objective.
            checkpoint: A file, written after every round; when it is there already, learning goes
                on from it and ends with the same bytes.

        Returns:
            The learner itself.

        Raises:
            TypeError: ``x`` is no tensor, or of a wrong dtype.
            ValueError: ``x`` has a wrong shape, no row, or NaN or infinity; or the checkpoint is
                of other settings or other data.
        """
        who = "KSVD.fit"
        x = check_signals(who, x)
        if len(x) == 0 or not bool(x.isfinite().all()):
            raise ValueError(f"{who}: x must have rows, all finite, got {list(x.shape)}")
        self._start(who, x, checkpoint, ALONE)
        if self._dictionary is None:
            self._dictionary = self._first(who, x)
        with progress_bar(progress, self.n_iter, self._n_done, "round") as bar:
            while self._n_done < self.n_iter:
                with as_given(x.device):
                    self._round(x)
                bar.update(1)
                bar.set_postfix(objective=f"{self.objective[-1][1]:.4g}", refresh=False)
                if checkpoint is not None:
                    self.save(checkpoint)
        return self

    def _first(self, who: str, x: Tensor) -> Tensor:
        if self.init is not None:
            return check_init(who, self.init, self.n_atoms, x, self.nonnegative_atoms)
        order = epoch_order(len(x), self.seed, 0)[: SPARE * self.n_atoms].to(x.device)
        return first_atoms(x[order], self.n_atoms, self.nonnegative_atoms, self.seed)

    def _round(self, x: Tensor) -> None:
        atoms = self.dictionary.clone()
        code = self.coding.code(x, atoms)
        assert code.indices is not None
        assert code.values is not None
        residual, values = code.residual.clone(), code.values.clone()
        places, ends = _by_atom(code.indices, self.n_atoms)
        is_idle = torch.zeros(self.n_atoms, dtype=torch.bool, device=x.device)
        for j in range(self.n_atoms):
            own = places[ends[j] : ends[j + 1]]
            if len(own):
                self._improve(atoms, j, own, residual, values)
            else:
                is_idle[j] = True
        is_twin = ((atoms @ atoms.mT).tril(-1).abs() > TWINS).any(dim=1)
        self._dictionary, _ = replace(
            atoms, is_idle | is_twin, x, residual, self.nonnegative_atoms, ALONE
        )
        self._n_done += 1
        self.objective.append((self._n_done, float(residual.square().sum() / (2 * len(x)))))

    def _improve(
        self, atoms: Tensor, j: int, own: Tensor, residual: Tensor, values: Tensor
    ) -> None:
        """Fits atom j and its codes to what the others leave; all but ``own`` are changed."""
        n_slots = values.shape[1]
        signals = own // n_slots
        old, left = values.view(-1)[own], residual[signals]
        target = old @ left + old.square().sum() * atoms[j]
        if self.nonnegative_atoms:
            target = target.clamp_min(0)
        norm = target.norm()
        atom = (target / norm).where(norm > 0, atoms[j])
        new = left @ atom + old * (atoms[j] @ atom)
        if self.coding.nonnegative:
            new = new.clamp_min(0)
        residual[signals] = left + old[:, None] * atoms[j] - new[:, None] * atom
        values.view(-1)[own] = new
        atoms[j] = atom


def _by_atom(indices: Tensor, n_atoms: int) -> tuple[Tensor, list[int]]:
    """Sorts the used slots of ``indices`` ``[B, K]`` by atom: places, and where each begins."""
    flat = indices.flatten()
    places = flat.argsort(stable=True)
    counts = torch.bincount(flat + 1, minlength=n_atoms + 1)  # the unused first
    return places, counts.cumsum(0).tolist()
