"""What an attack on scenes found, and the worst of several such findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sparsedef.attacks.target import GradientHealth
from sparsedef.worlds.scenes import Scenes


@dataclass(frozen=True)
class SceneResult:
    """What an attack on scenes found.

    Args:
        scenes: Attacked scenes, inside the feasible set, of the classes they had.
        images: What they show, ``[B, 3, size, size]`` in [0, 1].
        error_rate: Share of the model's draws that misclassify each scene, ``[B]``; 0 or 1 when
            the model is deterministic.
        health: Counts of zero and NaN gradients of the moving parameters, per step.
        by_edit: Error rate ``[B]`` of each edit by its name, where the attack tries named ones.
    """

    scenes: Scenes
    images: Tensor
    error_rate: Tensor
    health: GradientHealth
    by_edit: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def success(self) -> Tensor:
        """Whether each scene is misclassified by more than half of the draws, ``[B]`` bool."""
        return self.error_rate > 0.5


def join(results: Sequence[SceneResult]) -> SceneResult:
    """Joins the results of consecutive batches, in their order."""
    health = GradientHealth()
    for each in results:
        health.add(each.health)
    scenes = [each.scenes for each in results]
    return SceneResult(
        Scenes(
            torch.cat([each.parameters for each in scenes]),
            torch.cat([each.classes for each in scenes]),
            torch.cat([each.seeds for each in scenes]),
        ),
        torch.cat([each.images for each in results]),
        torch.cat([each.error_rate for each in results]),
        health,
        {name: torch.cat([each.by_edit[name] for each in results]) for name in results[0].by_edit},
    )


def worst_of(results: Sequence[SceneResult]) -> SceneResult:
    """Takes, scene by scene, the result with the highest error rate; the first among equals.

    A classifier's robust accuracy under several attacks is that under the worst of them for each
    image: what its own gradients found, and what was made on another model and judged on it
    (``judge``). All results must be of the same scenes and the same model.

    Args:
        results: At least one.

    Raises:
        ValueError: There are none, or they are of different scenes.
    """
    if not results:
        raise ValueError("worst_of: results must hold at least one, got none")
    first = results[0]
    for each in results[1:]:
        same = each.images.shape == first.images.shape
        if not (same and torch.equal(each.scenes.classes, first.scenes.classes)):
            raise ValueError("worst_of: results must be of the same scenes, got others")
    rates = torch.stack([each.error_rate for each in results])
    worst = rates.argmax(0)
    rows = torch.arange(len(worst), device=worst.device)

    def pick(parts: list[Tensor]) -> Tensor:
        return torch.stack(parts)[worst, rows]

    health = GradientHealth()
    by_edit: dict[str, Tensor] = {}
    for each in results:
        health.add(each.health)
        by_edit |= each.by_edit
    scenes = Scenes(
        pick([each.scenes.parameters for each in results]),
        first.scenes.classes,
        pick([each.scenes.seeds for each in results]),
    )
    images = pick([each.images for each in results])
    return SceneResult(scenes, images, rates[worst, rows], health, by_edit)
