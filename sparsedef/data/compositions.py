"""ShapeWorld as a zero-shot data set: every shape and every fill is seen, not every pair."""

from __future__ import annotations

import torch

from sparsedef.data.base import Split
from sparsedef.data.class_split import ClassSplit, places
from sparsedef.solvers.checks import check_choice, check_count
from sparsedef.training.step import Tensors
from sparsedef.worlds import CLASSES, EDITS, draw_split

UNSEEN = ("striped star", "dotted star", "plain square", "dotted heart", "striped disc")
VALIDATION = (
    "dotted ring", "striped triangle", "plain cross", "dotted cross", "striped crescent",
)  # fmt: skip
RENDERED_AT_ONCE = 256


def load_compositions(
    *,
    seed: int = 0,
    size: int = 32,
    n_train: int = 3000,
    n_validation: int = 200,
    n_test: int = 400,
    weather: str = "clear",
) -> ClassSplit:
    """Draws images of 14 seen pairs of shape and fill, 5 to choose a model by, and 5 unseen ones.

    A class of the test is told from the others by its fill in one case (two stars), and by its
    shape in all others.

    Args:
        seed: Of the scenes.
        size: Height and width, at least 16.
        n_train: Images of seen classes to train on.
        n_validation: Images of validation classes.
        n_test: Images of unseen classes, and as many held-out ones of seen classes.
        weather: ``"clear"``, or ``"all"`` for rain, snow and the rest, which takes longer to learn.

    Raises:
        ValueError: A number is too small, or the weather another word.

    Example:
        >>> data = load_compositions(size=16, n_train=8, n_validation=4, n_test=4)
        >>> len(data.seen), data.names(data.unseen)[0], data.train.batch(torch.arange(2))[0].shape
        (14, 'striped star', torch.Size([2, 3, 16, 16]))
    """
    who = "load_compositions"
    check_choice(who, "weather", weather, ("clear", "all"))
    unseen, chosen = (tuple(map(CLASSES.index, names)) for names in (UNSEEN, VALIDATION))
    seen = tuple(label for label in range(len(CLASSES)) if label not in (*unseen, *chosen))

    def part(name: str, count: int, labels: tuple[int, ...], what: str) -> Split:
        count = check_count(who, f"n_{what}", count)
        return _draw(name, count, labels, seed=seed, size=size, weather=weather)

    train = part("train", n_train, seen, "train")
    return ClassSplit(
        name="shapeworld",
        classes=CLASSES,
        seen=seen,
        validation_classes=chosen,
        unseen=unseen,
        train=Tensors(train.images, places(train.labels, seen)),
        held_out=part("test", n_test, seen, "test"),
        validation=part("validation", n_validation, chosen, "validation"),
        test=part("test", n_test, unseen, "test"),
        source=f"sparsedef.worlds: drawn, {size} x {size}, {weather} weather; {len(seen)} pairs of "
        f"shape and fill are seen, {len(chosen)} choose the model, {len(unseen)} are unseen",
    )


@torch.no_grad()
def _draw(
    part: str, count: int, labels: tuple[int, ...], *, seed: int, size: int, weather: str
) -> Split:
    """Draws the first ``count`` images of a part that have one of the classes."""
    n_drawn = 2 * count * len(CLASSES) // len(labels) + 64
    scenes = draw_split(part, n_drawn, seed=seed)
    rows = torch.nonzero(torch.isin(scenes.classes, torch.tensor(labels)))[:count, 0]
    assert len(rows) == count, "twice as many as expected were drawn"
    scenes = scenes[rows]
    if weather == "clear":
        scenes = scenes.with_parameters(EDITS["clear"](scenes.parameters))
    parts = torch.arange(count).split(RENDERED_AT_ONCE)
    images = torch.cat([scenes[some].render(size=size) for some in parts])
    ids = tuple(f"{part}-{seed}/{row}" for row in rows.tolist())
    return Split(images, scenes.classes, ids)
