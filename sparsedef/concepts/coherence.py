"""How much the atoms of a dictionary are alike, and how many directions they span."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from sparsedef.concepts.dictionary import Dictionary
from sparsedef.concepts.embedding import BLOCK, check_unit_rows


@dataclass(frozen=True)
class Coherence:
    """Figures about a dictionary of N atoms in M dimensions, S = min(N, M).

    Args:
        n_atoms: N.
        n_features: M.
        mean_cosine: Mean cosine of two different atoms, with its sign.
        mean_absolute_cosine: Mean absolute cosine of two different atoms.
        max_absolute_cosine: The largest, known as the (mutual) coherence.
        most_alike: The two atoms that have it: their texts, or their rows where there are no
            texts.
        singular_values: Of the atoms, ``S`` of them, largest first; their squares add up to N. A
            solver's step is 1 over the square of the first.
        effective_rank: exp(entropy of the singular values divided by their sum), from 1 to S.
        energy: Share of the first k squared singular values in their sum, for k = 1 to S.
    """

    n_atoms: int
    n_features: int
    mean_cosine: float
    mean_absolute_cosine: float
    max_absolute_cosine: float
    most_alike: tuple[str, str]
    singular_values: tuple[float, ...]
    effective_rank: float
    energy: tuple[float, ...]

    def directions_for(self, share: float) -> int:
        """Counts the directions that hold at least ``share`` of the energy, up to rounding.

        Raises:
            ValueError: ``share`` is not in (0, 1].
        """
        if not 0 < share <= 1:
            raise ValueError(f"directions_for: share must be above 0 and at most 1, got {share}")
        return next(k for k, held in enumerate(self.energy, start=1) if held >= share - 1e-12)

    def to_json(self) -> str:
        """Writes all figures as a JSON object."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False)


def coherence(dictionary: Dictionary | Tensor) -> Coherence:
    """Measures how alike the atoms are and how many directions they span.

    Computed in float64. The effective rank is that of Roy and Vetterli: with p_i = s_i / sum s,
    exp(-sum p_i log p_i).

    Args:
        dictionary: At least two unit atoms, as a ``Dictionary`` or ``[N, M]``.

    Returns:
        ``Coherence``.

    Raises:
        TypeError: Neither.
        ValueError: Fewer than two atoms, or one that is not finite or of another norm than 1 (to
            1e-3).

    Example:
        >>> found = coherence(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
        >>> found.max_absolute_cosine, found.most_alike, round(found.mean_cosine, 3)
        (1.0, ('1', '2'), -0.333)

    Source: Roy, Vetterli, The effective rank, 2007.
    """
    who = "coherence"
    given = dictionary.atoms if isinstance(dictionary, Dictionary) else dictionary
    atoms = check_unit_rows(who, "dictionary", given).detach().double()
    n_atoms, n_features = atoms.shape
    if n_atoms < 2:
        raise ValueError(f"{who}: dictionary must have at least two atoms, got {n_atoms}")
    n_pairs = n_atoms * (n_atoms - 1)
    total, absolute, largest, pair = 0.0, 0.0, -1.0, (0, 0)
    for start in range(0, n_atoms, BLOCK):
        block = atoms[start : start + BLOCK] @ atoms.mT
        rows = torch.arange(len(block), device=atoms.device)
        block[rows, rows + start] = 0
        total += float(block.sum())
        size = block.abs()
        absolute += float(size.sum())
        size[rows, rows + start] = -1
        best = int(size.argmax())
        if float(size.flatten()[best]) > largest:
            largest = float(size.flatten()[best])
            pair = (start + best // n_atoms, best % n_atoms)
    singular = torch.linalg.svdvals(atoms)
    share = singular / singular.sum()
    energy = singular.square().cumsum(0) / singular.square().sum()
    names = dictionary.texts if isinstance(dictionary, Dictionary) else range(n_atoms)
    return Coherence(
        n_atoms=n_atoms,
        n_features=n_features,
        mean_cosine=total / n_pairs,
        mean_absolute_cosine=absolute / n_pairs,
        max_absolute_cosine=largest,
        most_alike=(str(names[pair[0]]), str(names[pair[1]])),
        singular_values=tuple(singular.tolist()),
        effective_rank=float(torch.special.entr(share).sum().exp()),
        energy=tuple(energy.tolist()),
    )
