"""The 24 classes: a shape and what fills it."""

from __future__ import annotations

from torch import Tensor

SHAPES = ("disc", "ring", "square", "triangle", "star", "cross", "heart", "crescent")
FILLS = ("plain", "striped", "dotted")
CLASSES: tuple[str, ...] = tuple(f"{fill} {shape}" for shape in SHAPES for fill in FILLS)


def class_index(shape: str, fill: str) -> int:
    """Finds the class of ``shape`` filled with ``fill``.

    Raises:
        ValueError: One of them is unknown.

    Example:
        >>> CLASSES[class_index("star", "striped")]
        'striped star'
    """
    for name, value, known in (("shape", shape, SHAPES), ("fill", fill, FILLS)):
        if value not in known:
            raise ValueError(f"class_index: {name} must be one of {known}, got {value!r}")
    return SHAPES.index(shape) * len(FILLS) + FILLS.index(fill)


def shape_index(classes: Tensor) -> Tensor:
    """Says which of ``SHAPES`` each class has, ``[B]`` to ``[B]``."""
    return classes // len(FILLS)


def fill_index(classes: Tensor) -> Tensor:
    """Says which of ``FILLS`` each class has, ``[B]`` to ``[B]``."""
    return classes % len(FILLS)
