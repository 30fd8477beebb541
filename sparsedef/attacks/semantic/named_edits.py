"""Edits that have a name, "make it in snow": the worst of them for each scene."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sparsedef.attacks.base import misclassified
from sparsedef.attacks.losses import margin
from sparsedef.attacks.semantic.scene_attack import Found, SceneAttack, SceneSpace
from sparsedef.attacks.target import Target
from sparsedef.solvers.checks import check_choice
from sparsedef.worlds.edits import EDITS, Edit
from sparsedef.worlds.feasible import FeasibleSet
from sparsedef.worlds.parameters import columns

UNEDITED = "unedited"


class NamedEdits(SceneAttack):
    """Shows each scene with each named edit, and keeps the worst, the unedited one included.

    The strongest is the one with the highest error rate, or else the largest margin loss. What
    each edit does on its own stands in ``by_edit``, by name, with ``"unedited"`` beside them.

    Args:
        edits: Names in ``EDITS``; ``None`` for all that move only what may move.
        feasible: What may move, and how far; edits are projected onto it. ``None`` for
            ``FeasibleSet()``.
        size: Height and width of the images, in pixels.
        seed: Of a random model's draws.
        draws: How often a random model is asked, per look.
        batch_size: Scenes drawn and attacked at once.

    Example:
        >>> from sparsedef.worlds.sampler import sample_scenes
        >>> scenes = sample_scenes(torch.Generator().manual_seed(0), 2)
        >>> def dark(x: Tensor) -> Tensor:
        ...     score = x.mean((1, 2, 3)) - 0.3
        ...     return torch.stack([score, -score], 1)
        >>> result = NamedEdits(["clear", "night"], size=16)(dark, scenes, torch.tensor([0, 0]))
        >>> sorted(result.by_edit)
        ['clear', 'night', 'unedited']
    """

    def __init__(
        self,
        edits: Sequence[str] | None = None,
        *,
        feasible: FeasibleSet | None = None,
        size: int = 48,
        seed: int = 0,
        draws: int = 20,
        batch_size: int = 256,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(
            feasible=feasible, size=size, seed=seed, draws=draws, batch_size=batch_size
        )
        possible = possible_edits(self.feasible)
        self.edits = dict(possible)
        if edits is not None:
            for name in edits:
                check_choice(self.name, "edits", name, tuple(EDITS))
                if name not in possible:
                    raise ValueError(
                        f"NamedEdits: edits must move what may move, of {self.feasible.moves},"
                        f" got {name!r}"
                    )
            self.edits = {name: EDITS[name] for name in edits}
        if not self.edits:
            raise ValueError("NamedEdits: edits must hold at least one, got none")

    def search(
        self, target: Target, space: SceneSpace, labels: Tensor, generator: torch.Generator
    ) -> Found:
        """Asks about every edit of every scene; see the class."""
        rows = torch.arange(len(labels), device=labels.device)
        points = space.start
        best, most, rank = points.clone(), points[:, 0] - torch.inf, points[:, 0] - torch.inf
        by_edit: dict[str, Tensor] = {}
        for name in (UNEDITED, *self.edits):
            candidate = points if name == UNEDITED else apply(self.edits[name], space)
            with torch.no_grad():
                drawn = target.all_logits(space.images(candidate, rows), labels)
            rate = misclassified(drawn, labels).to(points.dtype).mean(0)
            value = torch.nan_to_num(margin(drawn.mean(0), labels), nan=torch.inf)
            is_worse = (rate > most) | ((rate == most) & (value > rank))
            best[is_worse] = candidate[is_worse]
            most, rank = torch.where(is_worse, rate, most), torch.where(is_worse, value, rank)
            by_edit[name] = rate
        return Found(space.parameters(best), by_edit)


def possible_edits(feasible: FeasibleSet) -> dict[str, Edit]:
    """The edits of ``EDITS`` that move only what may move."""
    moving = feasible.moving
    return {name: each for name, each in EDITS.items() if bool(moving[columns(each.values)].all())}


def apply(edit: Edit, space: SceneSpace) -> Tensor:
    """Edits the scenes that the attack begins at, as far as is feasible: points ``[B, P]``."""
    start = space.scenes.parameters
    return space.points(space.feasible.project(edit(start), start))
