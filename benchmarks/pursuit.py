"""The pursuits as the papers write them, in float64: what the gate compares answers with."""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 1024  # signals whose correlations are held at once
FLOOR = 1e-6  # of the first correlation: below, there is nothing left to choose
DEPENDENT = 1e-6  # of an atom's energy outside the support: below, "ols" does not choose it


def pursue(x: Tensor, dictionary: Tensor, n_nonzero: int, selection: str) -> tuple[Tensor, Tensor]:
    """Runs the pursuit with orthonormal directions and residuals, no recursion, in float64.

    Args:
        x: ``[B, M]``.
        dictionary: ``[N, M]``, atoms of norm 1.
        n_nonzero: K.
        selection: ``"omp"``: largest |correlation| with the residual. ``"ols"``: largest over the
            norm of the atom's part outside the support, which lowers the residual most.

    Returns:
        Atoms in the order of their choice ``[B, K]``, -1 after the end, and residuals ``[B, M]``.
    """
    atoms = dictionary.double()
    parts = [
        _pursue(x[i : i + CHUNK].double(), atoms, n_nonzero, selection)
        for i in range(0, max(len(x), 1), CHUNK)
    ]
    indices, residual = (torch.cat(part) for part in zip(*parts, strict=True))
    return indices, residual


def _pursue(x: Tensor, dictionary: Tensor, n_nonzero: int, selection: str) -> tuple[Tensor, Tensor]:
    each = torch.arange(len(x), device=x.device)
    indices = torch.full((len(x), n_nonzero), -1, device=x.device)
    directions = x.new_zeros(len(x), n_nonzero, x.shape[1])
    outside = dictionary.square().sum(dim=1).expand(len(x), -1).clone()
    residual = x.clone()
    is_running = torch.ones_like(each, dtype=torch.bool)
    correlations = x @ dictionary.T
    floor = FLOOR * correlations.abs().amax(dim=1)
    for k in range(n_nonzero):
        scores = _scores(correlations, outside, selection)
        scores.scatter_(1, indices[:, :k].clamp_min(0), 0)  # who has no atom does not run
        atom = scores.argmax(dim=1)
        is_running &= correlations[each, atom].abs() > floor
        if not is_running.any():
            break
        rest = dictionary[atom]
        for _ in range(2):  # once more: rounding
            along = torch.bmm(directions[:, :k], rest[:, :, None])
            rest = rest - torch.bmm(directions[:, :k].mT, along)[:, :, 0]
        direction = torch.nn.functional.normalize(rest, dim=1) * is_running[:, None]
        directions[:, k] = direction
        indices[:, k] = atom.where(is_running, -1)
        residual = residual - direction * (direction * residual).sum(dim=1, keepdim=True)
        if k + 1 < n_nonzero:
            correlations = residual @ dictionary.T
            if selection == "ols":
                outside -= (direction @ dictionary.T).square_()
    return indices, residual


def _scores(correlations: Tensor, outside: Tensor, selection: str) -> Tensor:
    """By how much each atom would lower the norm of the residual (``"ols"``), or seems to."""
    if selection == "omp":
        return correlations.abs()
    scores = correlations.abs() / outside.clamp_min(DEPENDENT).sqrt()
    return scores.masked_fill_(outside <= DEPENDENT, 0)


def is_a_way(
    signal: Tensor,
    dictionary: Tensor,
    support: list[int],
    n_nonzero: int,
    selection: str,
    tie: float,
) -> bool:
    """Says whether a pursuit of one signal could have chosen ``support``, ties and all.

    There must be an order of the support in which each atom's score is the best of all atoms' or
    agrees with the best within rounding. It must have K atoms, or leave no correlation above the
    floor.

    Rounding moves a correlation by ``tie * ||signal||``, over the norm that the narrowest of the
    atoms chosen so far had outside the span of those before it: in directions that nearly depend
    on one another it is amplified by so much. For ``"ols"`` once more over the atom's own norm
    outside the span, as its score is.

    Args:
        signal: ``[M]``.
        dictionary: ``[N, M]``.
        support: Atoms, in any order.
        n_nonzero: K.
        selection: ``"omp"`` or ``"ols"``.
        tie: Rounding of a correlation, relative to the signal.
    """
    signal, dictionary = signal.double(), dictionary.double()
    floor = FLOOR * (dictionary @ signal).abs().max()
    unit = tie * float(signal.norm())

    def goes_on(chosen: list[int], directions: Tensor, narrowest: float) -> bool:
        residual = signal - directions.T @ (directions @ signal)
        correlations = dictionary @ residual
        outside = dictionary.square().sum(dim=1) - (dictionary @ directions.T).square().sum(dim=1)
        scores = _scores(correlations, outside, selection)
        scores[chosen] = 0
        best = int(scores.argmax())
        if len(chosen) == n_nonzero or correlations[best].abs() <= floor:
            return True
        for atom in sorted(set(support) - set(chosen), key=lambda atom: -float(scores[atom])):
            slack = unit / narrowest
            if selection == "ols":
                slack /= float(min(outside[best], outside[atom]).clamp_min(DEPENDENT).sqrt())
            if scores[best] - scores[atom] > slack:
                continue
            rest = dictionary[atom]
            for _ in range(2):  # once more: rounding
                rest = rest - directions.T @ (directions @ rest)
            norm = rest.norm().clamp_min(DEPENDENT**0.5)
            longer = torch.cat([directions, rest[None] / norm])
            if goes_on([*chosen, atom], longer, min(narrowest, float(norm))):
                return True
        return False

    return goes_on([], signal.new_zeros(0, len(signal)), 1.0)


def supports(indices: Tensor, n_atoms: int) -> Tensor:
    """Turns chosen atoms ``[B, K]``, unused slots -1, into a mask ``[B, N]``."""
    mask = torch.zeros(len(indices), n_atoms + 1, dtype=torch.bool, device=indices.device)
    mask.scatter_(1, indices.where(indices >= 0, n_atoms), True)
    return mask[:, :n_atoms]


def least_squares(x: Tensor, dictionary: Tensor, indices: Tensor) -> Tensor:
    """Fits each signal by its atoms: codes ``[B, K]`` of ``indices``, 0 in unused slots."""
    is_used = (indices >= 0)[:, :, None]
    atoms = dictionary[indices.clamp_min(0)] * is_used
    gram = atoms @ atoms.mT + torch.diag_embed((~is_used[:, :, 0]).to(x))
    return torch.linalg.solve(gram, atoms @ x[:, :, None])[:, :, 0]
