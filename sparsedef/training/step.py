"""What a loss is given: a minibatch, its place in the training, and all of its randomness."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, ...]


class Source(Protocol):
    """Samples that are asked for by their numbers, so that they need not fit in memory."""

    def __len__(self) -> int:
        """Number of samples."""

    def batch(self, rows: Tensor) -> Batch:
        """Gives the samples ``rows`` ``[B]`` int64: tensors ``[B, ...]``, the same every time."""


class Tensors:
    """Samples that lie in memory.

    Args:
        tensors: Each ``[B, ...]``, such as images and labels.

    Raises:
        ValueError: They are none, or of different lengths.

    Example:
        >>> source = Tensors(torch.rand(5, 3, 8, 8), torch.arange(5))
        >>> len(source), source.batch(torch.tensor([4, 0]))[1].tolist()
        (5, [4, 0])
    """

    def __init__(self, *tensors: Tensor) -> None:
        """Checks and keeps them; see the class."""
        lengths = [len(tensor) for tensor in tensors]
        if len(set(lengths)) != 1:
            raise ValueError(f"Tensors: all must have the same number of samples, got {lengths}")
        self.tensors = tensors

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.tensors[0])

    def batch(self, rows: Tensor) -> Batch:
        """Gives the samples ``rows``."""
        return tuple(tensor[rows.to(tensor.device)] for tensor in self.tensors)


@dataclass(frozen=True)
class Step:
    """The place of a minibatch in a training, and its random numbers.

    Every step has a generator of its own, which the training's seed and the step's number decide:
    a training that was stopped goes on with the same draws. All ranks hold it in the same state
    and must draw from it alike, so that together they see the numbers that one alone would see:
    ``rand_like`` and ``randn_like`` draw for the whole minibatch and give this rank's rows.

    Args:
        number: Of the minibatch, from 0, counted over all epochs.
        epoch: From 0.
        n_rows: Samples of the whole minibatch.
        rows: Those that this rank has.
        generator: On the CPU, whatever the device: the same draws everywhere.
    """

    number: int
    epoch: int
    n_rows: int
    rows: slice
    generator: torch.Generator

    @classmethod
    def single(cls, n_rows: int, seed: int, number: int = 0) -> Step:
        """Makes a step for ``n_rows`` samples outside of a training, such as for validation."""
        return cls(number, 0, n_rows, slice(0, n_rows), generator_of(seed, "single", number))

    def rand_like(self, samples: Tensor) -> Tensor:
        """Draws from [0, 1), uniformly: the shape, dtype and device of this rank's ``samples``."""
        return self._draw(torch.rand, samples)

    def randn_like(self, samples: Tensor) -> Tensor:
        """Draws from the standard normal distribution, as ``rand_like``."""
        return self._draw(torch.randn, samples)

    def _draw(self, draw: Callable[..., Tensor], samples: Tensor) -> Tensor:
        whole = draw((self.n_rows, *samples.shape[1:]), generator=self.generator)
        own = whole[self.rows]
        assert own.shape == samples.shape, "a step draws for its own minibatch only"
        return own.to(samples)


Loss = Callable[[Batch, Step], Tensor]


def seed_of(*what: object) -> int:
    """Makes one seed of several values, such as a seed and a number of a step."""
    return int.from_bytes(hashlib.sha256(repr(what).encode()).digest()[:8], "big") >> 1


def generator_of(*what: object) -> torch.Generator:
    """Makes a generator on the CPU whose draws ``what`` decides."""
    return torch.Generator().manual_seed(seed_of(*what))


def device_of(model: nn.Module) -> torch.device:
    """Where a model's parameters are."""
    for parameter in model.parameters():
        return parameter.device
    return torch.device("cpu")
