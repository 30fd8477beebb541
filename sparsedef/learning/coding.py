"""How a learner codes signals, and what it minimises by that."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsedef.solvers import SparseCode, lasso, omp
from sparsedef.solvers.checks import check_choice, check_count, check_tensor

CODERS = ("lasso", "omp")


@dataclass(frozen=True)
class Coding:
    """One way to code: the coder, its penalty or support size, and the sign of the codes.

    Attributes:
        coder: ``"lasso"`` or ``"omp"``.
        alpha: The penalty of the LASSO; ``None`` for OMP.
        n_nonzero: The support size of OMP; ``None`` for the LASSO.
        nonnegative: Whether codes are at least 0.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.
    """

    coder: str
    alpha: float | None
    n_nonzero: int | None
    nonnegative: bool
    backend: str

    def check(self, who: str) -> None:
        """Demands what its coder needs, and nothing that belongs to the other."""
        check_choice(who, "coder", self.coder, CODERS)
        if self.coder == "omp":
            if self.n_nonzero is None:
                raise ValueError(f"{who}: n_nonzero must be given with coder='omp', got None")
            check_count(who, "n_nonzero", self.n_nonzero)
            if self.alpha is not None:
                raise ValueError(f"{who}: alpha must be None with coder='omp', got {self.alpha}")
            return
        if self.n_nonzero is not None:
            raise ValueError(
                f"{who}: n_nonzero must be None with coder='lasso', got {self.n_nonzero}"
                " (coder='omp' takes it)"
            )
        if self.alpha is None:
            raise ValueError(
                f"{who}: alpha must be given with coder='lasso', got None (0.15 times the typical"
                " norm of a signal is a start)"
            )
        if isinstance(self.alpha, bool) or not isinstance(self.alpha, (int, float)):
            raise TypeError(f"{who}: alpha must be a number, got {type(self.alpha).__name__}")
        if not 0 < self.alpha < float("inf"):
            raise ValueError(f"{who}: alpha must be finite and > 0, got {self.alpha}")

    def code(self, x: Tensor, dictionary: Tensor, layout: str = "compact") -> SparseCode:
        """Codes ``x`` ``[B, M]``; gradients are not recorded for the dictionary."""
        if self.coder == "lasso":
            return lasso(
                x,
                dictionary,
                self.alpha,
                nonnegative=self.nonnegative,
                layout=layout,
                backend=self.backend,
            )
        assert self.n_nonzero is not None
        return omp(
            x,
            dictionary,
            self.n_nonzero,
            nonnegative=self.nonnegative,
            layout=layout,
            backend=self.backend,
        )

    def objective(self, code: SparseCode) -> Tensor:
        """Gives 1/2 ||x - z D||^2, for the LASSO + alpha ||z||_1, of compact codes, ``[B]``."""
        fit = code.residual.square().sum(dim=1) / 2
        if self.alpha is None:
            return fit
        assert code.values is not None
        return fit + self.alpha * code.values.abs().sum(dim=1)


def check_signals(who: str, x: object, dictionary: Tensor | None = None) -> Tensor:
    """Demands signals ``[B, M]`` that go with the dictionary, if there is one already.

    Half precision becomes float32. Whether they are finite is seen when they are coded.
    """
    x = check_tensor(who, "x", x).detach()
    if x.ndim != 2 or x.shape[1] == 0:
        hint = " (pass x[None] for one signal)" if x.ndim == 1 else ""
        raise ValueError(f"{who}: x must be [B, M] with M >= 1, got {list(x.shape)}{hint}")
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    if dictionary is None:
        return x
    if x.shape[1] != dictionary.shape[1]:
        raise ValueError(
            f"{who}: x must be [B, {dictionary.shape[1]}] to match the dictionary"
            f" {list(dictionary.shape)}, got {list(x.shape)}"
        )
    if x.dtype != dictionary.dtype or x.device != dictionary.device:
        raise ValueError(
            f"{who}: x must be {dictionary.dtype} on {dictionary.device} as the dictionary is, got"
            f" {x.dtype} on {x.device} (x.to(learner.dictionary) converts)"
        )
    return x
