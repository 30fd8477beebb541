"""What is learned in the races of dictionary learning, and the one judge of all dictionaries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

import sparsedef
from benchmarks.gate import GateError, lasso_gap
from benchmarks.photographs import PATCH, patches
from benchmarks.problems import LassoProblem

JUDGED_TO = 1e-6  # relative duality gap of the judge's codes, in float64
NORM = 1 + 1e-3  # of an atom, at the most
HELD_OUT_SEED = 2026  # other places in the photographs than those learned from


@dataclass(frozen=True)
class DictionaryProblem:
    """min over D of the mean of min_z 1/2 ||x - z D||^2 + alpha ||z||_1, atoms of norm 1 at most.

    All begin at ``init``, signals of the data brought to norm 1, and are judged on ``held_out``.
    """

    name: str
    x: Tensor
    held_out: Tensor
    init: Tensor
    alpha: float

    op: ClassVar[str] = "dictionary"

    @property
    def facts(self) -> dict[str, Any]:
        """For the JSON."""
        return {"alpha": self.alpha, "n_held_out": len(self.held_out), "start": self.start}

    @cached_property
    def start(self) -> float:
        """The objective of the first atoms."""
        return self.objective(self.init)

    def objective(self, atoms: Tensor) -> float:
        """The mean objective of the held-out signals' certified codes, in float64.

        Raises:
            GateError: The atoms have another shape, are not finite or longer than 1, or the codes
                are not certified.
        """
        if atoms.shape != self.init.shape:
            raise GateError(f"atoms are {list(atoms.shape)}, wanted {list(self.init.shape)}")
        atoms, x = atoms.double(), self.held_out.double()
        longest = float(atoms.norm(dim=1).max())
        if not longest <= NORM:
            raise GateError(f"an atom has norm {longest:.4g}")
        code = sparsedef.lasso(x, atoms, self.alpha, tol=JUDGED_TO / 10)
        assert code.codes is not None
        judged = LassoProblem(self.name, x, atoms, self.alpha)
        gap = float(lasso_gap(judged, code.codes).max())
        if not gap <= JUDGED_TO:
            raise GateError(f"the judge's own codes have a gap of {gap:.1e}")
        fit = (x - code.codes @ atoms).square().sum(dim=1) / 2
        return float((fit + self.alpha * code.codes.abs().sum(dim=1)).mean())


@dataclass(frozen=True)
class DictionarySpec:
    """How many patches to learn how many atoms from."""

    n_signals: int
    n_atoms: int
    n_held_out: int
    alpha: float = 1.2

    @property
    def name(self) -> str:
        """Reads ``patches M64 N256 B100000``."""
        return f"patches M{PATCH**2} N{self.n_atoms} B{self.n_signals}"

    def build(self) -> DictionaryProblem:
        """Makes the data; the same spec gives the same data."""
        x = patches(self.n_signals)
        held_out = patches(self.n_held_out, seed=HELD_OUT_SEED)
        init = torch.nn.functional.normalize(x[: self.n_atoms], dim=1)  # they come shuffled
        return DictionaryProblem(self.name, x, held_out, init, self.alpha)


# alpha is 0.15 of a patch's root mean square norm, 8: Mairal's 1.2 / sqrt(M) for norms of 1.
DICTIONARY: dict[str, tuple[DictionarySpec, ...]] = {
    "tiny": (DictionarySpec(2000, 48, 200),),
    "small": (DictionarySpec(20_000, 128, 2000),),
    "full": (DictionarySpec(100_000, 256, 5000),),
}
