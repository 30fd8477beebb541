"""What learning asks of several processes that share the work; one process is the simplest case."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Ranks(Protocol):
    """Processes that hold parts of the data and must end with the same dictionary.

    Every rank calls the same methods in the same order. What they return is the same to the bit on
    all ranks, since each draws its conclusions from it.

    Attributes:
        rank: Which of them this is, from 0.
        n_ranks: How many there are.
    """

    @property
    def rank(self) -> int:
        """Which of them this is, from 0."""

    @property
    def n_ranks(self) -> int:
        """How many there are."""

    def sum(self, t: Tensor) -> Tensor:
        """Adds up the tensors of all ranks, of one shape, in an order that is always the same."""

    def gather(self, t: Tensor) -> Tensor:
        """Joins the rows of all ranks, in the order of the ranks; their numbers may differ."""


class Alone:
    """The only process.

    Example:
        >>> import torch
        >>> Alone().sum(torch.ones(2)).tolist()
        [1.0, 1.0]
    """

    rank = 0
    n_ranks = 1

    def sum(self, t: Tensor) -> Tensor:
        """Gives back what came."""
        return t

    def gather(self, t: Tensor) -> Tensor:
        """Gives back what came."""
        return t


ALONE = Alone()
