"""Which image goes to which part: pools that only the seed decides, then stratified limits."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sparsedef.data.base import Dataset, Split


@dataclass(frozen=True)
class Pool:
    """Labelled images that are known but not read yet.

    Args:
        labels: ``[n]`` int64.
        ids: One name per image.
        read: Row numbers to images ``[b, 3, H, W]`` float32 in [0, 1].
    """

    labels: Tensor
    ids: tuple[str, ...]
    read: Callable[[Sequence[int]], Tensor]


class Limits(NamedTuple):
    """How many images each part may hold; ``None`` for all there are."""

    train: int | None = None
    validation: int | None = None
    test: int | None = None


def stratified(labels: Tensor, seed: int) -> list[int]:
    """Orders rows so that every beginning of the order holds each class in its proportion.

    Within a class the order is random. Row number r (from 0) of a class with n rows is then
    placed at (r + u) / n, with one random u in [0, 1) per class: systematic sampling, so that
    classes of one size differ by at most one image in every beginning.

    Args:
        labels: ``[n]`` int64.
        seed: Of the order.

    Example:
        >>> labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
        >>> labels[stratified(labels, seed=0)[:4]].bincount().tolist()
        [2, 2]
    """
    generator = torch.Generator().manual_seed(seed)
    places = torch.empty(len(labels), dtype=torch.float64)
    for label in labels.unique().tolist():
        rows = (labels == label).nonzero()[:, 0]
        rows = rows[torch.randperm(len(rows), generator=generator)]
        start = torch.rand((), generator=generator, dtype=torch.float64)
        places[rows] = (torch.arange(len(rows), dtype=torch.float64) + start) / len(rows)
    return [int(row) for row in places.argsort(stable=True)]


def build_dataset(
    who: str,
    name: str,
    pools: Mapping[str, Pool],
    *,
    classes: Sequence[str],
    source: str,
    size: int,
    seed: int,
    limits: Limits,
    default: int | None = None,
) -> Dataset:
    """Reads a data set in three parts that share no image.

    What the parts may draw from depends on the seed alone, never on the limits: two runs with one
    seed and other limits never test on what the other trained on.

    Args:
        who: The caller, for messages.
        name: Of the data set.
        pools: Either ``"train"`` and ``"test"`` with or without ``"validation"`` (without: a tenth
            of the training images are set apart for it), or ``"all"`` (then a fifth is for
            testing, a tenth for validation, the rest for training).
        classes: Names, by label.
        source: In plain words.
        size: Height and width of the images.
        seed: Of division and order.
        limits: How many images to keep of each part; every beginning of a part is stratified.
        default: How many at most where a limit is ``None``; ``None`` for all.

    Raises:
        ValueError: A limit is negative or more than there is, or the images exceed the memory.
    """
    rows = _divide(pools, seed)
    kept: dict[str, tuple[Pool, list[int]]] = {}
    for part, limit in limits._asdict().items():
        pool, there = rows[part]
        if limit is not None and not 0 <= limit <= len(there):
            raise ValueError(
                f"{who}: n_{part} must be from 0 to {len(there)}, the images there are for it, "
                f"got {limit}"
            )
        kept[part] = (pool, there[: default if limit is None else limit])
    _check_memory(who, sum(len(chosen) for _, chosen in kept.values()), size)
    splits = {
        part: Split(pool.read(chosen), pool.labels[chosen], tuple(pool.ids[row] for row in chosen))
        for part, (pool, chosen) in kept.items()
    }
    return Dataset(name, tuple(classes), **splits, source=source)


def check_size(who: str, size: int) -> None:
    """Raises unless ``size`` is a positive number of pixels."""
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"{who}: size must be an int, got {type(size).__name__}")
    if size < 1:
        raise ValueError(f"{who}: size must be at least 1 pixel, got {size}")


def _divide(pools: Mapping[str, Pool], seed: int) -> dict[str, tuple[Pool, list[int]]]:
    """The rows that each part may draw from, in their order."""
    if "all" in pools:
        pool = pools["all"]
        order = stratified(pool.labels, seed)
        first, second = -(-len(order) // 5), -(-len(order) // 5) + -(-len(order) // 10)
        return {
            "test": (pool, order[:first]),
            "validation": (pool, order[first:second]),
            "train": (pool, order[second:]),
        }
    orders = {
        part: (pool, stratified(pool.labels, seed + number))
        for number, (part, pool) in enumerate(pools.items())
    }
    if "validation" not in orders:
        pool, order = orders["train"]
        kept = len(order) - -(-len(order) // 10)
        orders["train"], orders["validation"] = (pool, order[:kept]), (pool, order[kept:])
    return orders


def _check_memory(who: str, count: int, size: int) -> None:
    """Raises when ``count`` float32 images would not fit into this machine's memory."""
    needed = count * 3 * size * size * 4
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise ValueError(
            f"{who}: {count} images of {size} x {size} need {needed / 1e9:.0f} GB, this machine "
            f"has {there / 1e9:.0f} GB (pass n_train, n_validation, n_test)"
        )
