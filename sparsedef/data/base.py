"""What a data set is here: images in [0, 1] with labels, names of classes, and stable ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Some labelled images.

    Args:
        images: ``[B, 3, H, W]`` float32 in [0, 1].
        labels: ``[B]`` int64.
        ids: One name per image that says where it comes from, so that a report can point at it.
    """

    images: Tensor
    labels: Tensor
    ids: tuple[str, ...]

    def __post_init__(self) -> None:
        """Holds the parts to one length."""
        assert self.images.shape[0] == self.labels.shape[0] == len(self.ids)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.ids)

    def take(self, count: int) -> Split:
        """Returns the first ``count`` images (a split is already in seeded random order)."""
        return Split(self.images[:count], self.labels[:count], self.ids[:count])

    def where(self, chosen: Tensor) -> Split:
        """Returns the images ``chosen`` ``[B]`` bool, in their order."""
        ids = tuple(each for each, is_in in zip(self.ids, chosen.tolist(), strict=True) if is_in)
        return Split(self.images[chosen], self.labels[chosen], ids)


@dataclass(frozen=True)
class Dataset:
    """A labelled image set in three parts that share no pixel."""

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    source: str


Loader = Callable[..., Dataset]


def need_sklearn(who: str) -> None:
    """Raises with the way out when scikit-learn, which brings the images, is absent."""
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{who}: the images come with scikit-learn, which is not installed "
            f"(pip install 'sparsedef[sklearn]')"
        ) from error


def shuffled(count: int, seed: int) -> list[int]:
    """Returns ``range(count)`` in an order that only ``seed`` decides."""
    generator = torch.Generator().manual_seed(seed)
    return [int(i) for i in torch.randperm(count, generator=generator)]
