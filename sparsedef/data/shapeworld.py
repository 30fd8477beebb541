"""Drawn images of 24 classes whose scene parameters come along, with or without a shortcut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsedef.data.base import Dataset, Split
from sparsedef.solvers.checks import check_count
from sparsedef.worlds import CLASSES, Confounding, Scenes, draw_split

RENDERED_AT_ONCE = 1024
QUIET_SECONDS = 3.0  # a bar shows only where drawing takes longer


@dataclass(frozen=True)
class ShapeWorldSplit(Split):
    """Some images and the scenes they were drawn from, row by row."""

    scenes: Scenes

    def __post_init__(self) -> None:
        """Holds the parts to one length."""
        super().__post_init__()
        assert len(self.scenes) == len(self.ids)

    def take(self, count: int) -> ShapeWorldSplit:
        """Returns the first ``count`` images with their scenes."""
        return ShapeWorldSplit(
            self.images[:count], self.labels[:count], self.ids[:count], self.scenes[:count]
        )

    def where(self, chosen: Tensor) -> ShapeWorldSplit:
        """Returns the images ``chosen`` ``[B]`` bool with their scenes, in their order."""
        part = super().where(chosen)
        return ShapeWorldSplit(part.images, part.labels, part.ids, self.scenes[chosen])


@dataclass(frozen=True)
class ShapeWorldDataset(Dataset):
    """The three parts with their scenes.

    Args:
        confounding: What makes nuisances go with the class in the training part.
        achieved: Share of the training scenes that have their class's favourite, by nuisance; near
            1/6 where the confounding's strength is 0.
    """

    train: ShapeWorldSplit
    validation: ShapeWorldSplit
    test: ShapeWorldSplit
    confounding: Confounding
    achieved: Mapping[str, float]


def load_shapeworld(
    *,
    seed: int = 0,
    size: int = 48,
    n_train: int = 4000,
    n_validation: int = 500,
    n_test: int = 1000,
    confounding: float = 0.0,
    confound_background: bool = False,
) -> ShapeWorldDataset:
    """Draws a world of 24 classes: one object of 8 shapes x 3 fills, in weather, on a background.

    Validation and test never have the shortcut. Every scene is drawn afresh, so the training part
    reaches the strength asked for; ``achieved`` counts it. For held-out images *with* the
    shortcut, hold some of the training part out.

    Args:
        seed: Of the scenes and of the classes' favourites, at least 0. No two seeds or parts
            share a scene; a longer part begins with the shorter one.
        size: Height and width, at least 16; 48 shows everything, 32 nearly.
        n_train: Training images.
        n_validation: Validation images.
        n_test: Test images.
        confounding: In [0, 1]: how strongly the weather goes with the class in the training part
            (``Confounding``).
        confound_background: The background goes with the class as well.

    Returns:
        ``ShapeWorldDataset``: images ``[B, 3, size, size]`` float32; ids are ``part-seed/index``.

    Raises:
        TypeError: A count is not an int.
        ValueError: A number is out of range.

    Example:
        >>> data = load_shapeworld(size=32, n_train=8, n_validation=8, n_test=8)
        >>> data.test.images.shape, data.test.ids[3]
        (torch.Size([8, 3, 32, 32]), 'test-0/3')
    """
    seed = check_count("load_shapeworld", "seed", seed, 0)
    shortcut = Confounding.balanced(confounding, seed=seed, with_background=confound_background)

    def part(name: str, count: int, confounding: Confounding | None = None) -> ShapeWorldSplit:
        count = check_count("load_shapeworld", f"n_{name}", count)
        scenes = draw_split(name, count, seed=seed, confounding=confounding)
        ids = tuple(f"{name}-{seed}/{row}" for row in range(count))
        return ShapeWorldSplit(_draw(scenes, size, name), scenes.classes, ids, scenes)

    train = part("train", n_train, shortcut)
    achieved = shortcut.achieved(train.scenes)
    shares = ", ".join(f"{name} {share:.3f}" for name, share in achieved.items())
    return ShapeWorldDataset(
        name="shapeworld",
        classes=CLASSES,
        train=train,
        validation=part("validation", n_validation),
        test=part("test", n_test),
        source=(
            f"sparsedef.worlds: drawn, {size} x {size}; share of training scenes with their "
            f"class's favourite: {shares} (1/6 without a shortcut)"
        ),
        confounding=shortcut,
        achieved=achieved,
    )


@torch.no_grad()
def _draw(scenes: Scenes, size: int, title: str) -> Tensor:
    from tqdm import tqdm

    starts = range(0, len(scenes), RENDERED_AT_ONCE)
    bar = tqdm(starts, desc=f"draw {title}", delay=QUIET_SECONDS, leave=False)
    return torch.cat([scenes[at : at + RENDERED_AT_ONCE].render(size=size) for at in bar])
