"""Tolerances and small problems that the tests of sparsedef, and of backends for it, share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsedef.backends import BACKENDS, Problem


@dataclass(frozen=True)
class Tolerance:
    """How closely two right answers agree in one dtype.

    Attributes:
        gap: Largest relative duality gap of a LASSO answer at the default tolerance.
        objective: Largest relative difference of two objectives.
        close: Largest difference of codes and residuals of signals of norm about 1, on
            dictionaries whose supports are well conditioned.
        orthogonal: Largest correlation of a pursuit's residual with its support, for ||x|| = 1.
    """

    gap: float
    objective: float
    close: float
    orthogonal: float


TOLERANCES = {
    torch.float32: Tolerance(gap=1e-5, objective=1e-5, close=2e-4, orthogonal=1e-5),
    torch.float64: Tolerance(gap=1e-10, objective=1e-8, close=1e-9, orthogonal=1e-13),
}


def able_backends(problem: Problem) -> list[str]:
    """Lists the backends that can serve ``problem`` on this machine."""
    return [name for name, backend in BACKENDS.items() if not backend.why_not(problem)]


def make_problem(
    n_signals: int,
    n_features: int,
    n_atoms: int,
    *,
    dtype: torch.dtype = torch.float64,
    correlation: float = 0.0,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Draws signals of norm 1 and atoms of norm 1 that share a direction.

    Args:
        n_signals: B.
        n_features: M.
        n_atoms: N.
        dtype: Of both.
        correlation: Cosine that two atoms have on average, in [0, 1).
        seed: Same seed, same problem, in float32 and float64 alike (up to rounding).

    Returns:
        x ``[B, M]``, dictionary ``[N, M]``.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(rows: int) -> Tensor:
        drawn = torch.randn(rows, n_features, generator=generator, dtype=torch.float64)
        return torch.nn.functional.normalize(drawn, dim=1)

    shared, own = draw(1), draw(n_atoms)
    atoms = correlation**0.5 * shared + (1 - correlation) ** 0.5 * own
    dictionary = torch.nn.functional.normalize(atoms, dim=1)
    return draw(n_signals).to(dtype), dictionary.to(dtype)


def lasso_objective(
    x: Tensor,
    dictionary: Tensor,
    codes: Tensor,
    alpha: Tensor | float,
    ridge: Tensor | float | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Gives the LASSO objective per signal, ``[B]``, computed in float64.

    1/2 ||x - z D||^2 + alpha sum_j w_j |z_j| + 1/2 sum_j ridge_j z_j^2
    """
    x, dictionary, codes = x.double(), dictionary.double(), codes.double()
    fit = (x - codes @ dictionary).square().sum(dim=1) / 2
    size = codes.abs() if weights is None else codes.abs() * weights.double()
    objective = fit + alpha * size.sum(dim=1)
    return objective if ridge is None else objective + (ridge * codes.square()).sum(dim=1) / 2
