"""Networks whose random start a seed decides, without touching the caller's random state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draws by ``seed`` inside, on the CPU; afterwards torch's random state is as it was.

    Example:
        >>> state = torch.get_rng_state()
        >>> with seeded(3):
        ...     first = torch.nn.Linear(2, 2)
        >>> with seeded(3):
        ...     second = torch.nn.Linear(2, 2)
        >>> torch.equal(first.weight, second.weight), torch.equal(torch.get_rng_state(), state)
        (True, True)
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
