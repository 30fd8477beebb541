"""What a concept classifier says in favour of its answer, and what an attack changed of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Explanation:
    """How the concepts of one image add up to the logits of two classes.

    ``contributions.sum() + bias`` is the logit of ``label``, likewise for ``rival``.

    Args:
        names: Of the N atoms.
        codes: Amount of each, ``[N]``.
        logits: ``[C]``.
        label: The class explained; the winner unless asked otherwise.
        rival: The class it is compared with; the runner-up unless asked otherwise.
        contributions: Code times the head's weight for ``label``, ``[N]``.
        rival_contributions: Code times the head's weight for ``rival``, ``[N]``.
        bias: Of ``label``.
        rival_bias: Of ``rival``.
        residual_share: ||x - codes @ dictionary|| / ||x||: what no concept accounts for. A large
            one beside those of clean images says that something unusual is in the image. (For
            codes that are correlations and no fit it says nothing.)
    """

    names: tuple[str, ...]
    codes: Tensor
    logits: Tensor
    label: int
    rival: int
    contributions: Tensor
    rival_contributions: Tensor
    bias: float
    rival_bias: float
    residual_share: float

    @property
    def support(self) -> tuple[str, ...]:
        """Names of the atoms in use, the largest code first."""
        order = self.codes.abs().argsort(descending=True, stable=True).tolist()
        return tuple(self.names[i] for i in order if self.codes[i] != 0)

    @property
    def margin(self) -> Tensor:
        """What each concept adds to the logit of ``label`` beyond that of ``rival``, ``[N]``."""
        return self.contributions - self.rival_contributions

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The concepts that contribute most to ``label``, for or against it."""
        order = self.contributions.abs().argsort(descending=True, stable=True).tolist()
        found = [(self.names[i], float(self.contributions[i])) for i in order[:count]]
        return [(name, value) for name, value in found if value != 0]


@dataclass(frozen=True, eq=False)
class Comparison:
    """One image before and after an attack, both explained by the same two classes.

    Args:
        clean: Before.
        attacked: After.
        shift: The numbers of ``Shift`` by name.
    """

    clean: Explanation
    attacked: Explanation
    shift: dict[str, float]

    @property
    def appeared(self) -> tuple[str, ...]:
        """Concepts that only the attacked image uses, the largest code first."""
        before = set(self.clean.support)
        return tuple(name for name in self.attacked.support if name not in before)

    @property
    def vanished(self) -> tuple[str, ...]:
        """Concepts that only the clean image uses, the largest code first."""
        after = set(self.attacked.support)
        return tuple(name for name in self.clean.support if name not in after)


def explain_rows(
    codes: Tensor,
    logits: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual_share: Tensor,
    names: tuple[str, ...],
    pairs: Sequence[tuple[int, int]] | None,
) -> list[Explanation]:
    """Makes explanations of codes ``[B, N]``, logits ``[B, C]`` and a head ``[C, N]``, ``[C]``."""
    if logits.shape[1] < 2:
        raise ValueError(f"explain: there must be two classes or more, got {logits.shape[1]}")
    if pairs is None:
        best = logits.topk(2, dim=1).indices.tolist()
        pairs = [(first, second) for first, second in best]
    if len(pairs) != len(codes):
        raise ValueError(f"explain: pairs must be {len(codes)}, got {len(pairs)}")
    return [
        Explanation(
            names, code, scores, label, rival, code * weight[label], code * weight[rival],
            float(bias[label]), float(bias[rival]), share,
        )
        for code, scores, (label, rival), share in zip(
            codes, logits, pairs, residual_share.tolist(), strict=True
        )
    ]  # fmt: skip
