"""Images whose classes are divided: seen ones to train on, others to choose by, others to test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsedef.data.base import Split
from sparsedef.data.parts import Pool
from sparsedef.training.step import Source


@dataclass(frozen=True)
class ClassSplit:
    """A zero-shot data set: no two parts but ``train`` and ``held_out`` share a class.

    Labels are places in ``classes`` everywhere, except in ``train``, whose labels are places in
    ``seen``: a network is trained on those alone.

    Args:
        name: Of the data set.
        classes: All names.
        seen: Labels of the classes that are trained on.
        validation_classes: Labels of those that a model is chosen by.
        unseen: Labels of those that it is tested on.
        train: Images of seen classes.
        held_out: Other images of seen classes, for generalised zero-shot tests.
        validation: Images of validation classes.
        test: Images of unseen classes.
        source: Where all that comes from.

    Raises:
        ValueError: Two parts share a class, or one has none.
    """

    name: str
    classes: tuple[str, ...]
    seen: tuple[int, ...]
    validation_classes: tuple[int, ...]
    unseen: tuple[int, ...]
    train: Source
    held_out: Split
    validation: Split
    test: Split
    source: str

    def __post_init__(self) -> None:
        """Demands parts that share no class; see the class."""
        parts = (self.seen, self.validation_classes, self.unseen)
        labels = [label for part in parts for label in part]
        if not all(parts) or len(set(labels)) < len(labels):
            raise ValueError(
                f"ClassSplit: {self.name} must have seen, validation and unseen classes that "
                f"differ, got {len(self.seen)}, {len(self.validation_classes)} and "
                f"{len(self.unseen)}, {len(labels) - len(set(labels))} of them twice"
            )

    def names(self, labels: Sequence[int]) -> tuple[str, ...]:
        """Names of some classes."""
        return tuple(self.classes[label] for label in labels)


@dataclass(frozen=True)
class Pooled:
    """Training images that are read when they are asked for.

    Args:
        pool: Of all images.
        rows: Those that are trained on, ``[n]``.
        labels: Places among the seen classes, ``[n]``.
    """

    pool: Pool
    rows: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Number of images."""
        return len(self.rows)

    def batch(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Reads the images ``rows`` and gives them with their labels."""
        return self.pool.read(self.rows[rows].tolist()), self.labels[rows]


def places(labels: Tensor, classes: Sequence[int]) -> Tensor:
    """Turns labels into places among ``classes``; each must be one of them.

    Example:
        >>> places(torch.tensor([7, 3, 7]), (3, 7)).tolist()
        [1, 0, 1]
    """
    table = torch.full((max(*classes, int(labels.max()) if len(labels) else 0) + 1,), -1)
    table[list(classes)] = torch.arange(len(classes))
    found = table[labels]
    assert bool((found >= 0).all()), "a label is none of the classes"
    return found
