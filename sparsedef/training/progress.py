"""What a person sees meanwhile."""

from __future__ import annotations

import sys
from typing import Any


def show_progress(n_total: int, n_done: int, title: str, *, is_silent: bool) -> Any:
    """A bar of minibatches with the time left.

    Args:
        n_total: Minibatches of all epochs.
        n_done: Of them, those that an earlier run has finished: they count as done, not as fast.
        title: Stands before the bar.
        is_silent: Show nothing.
    """
    from tqdm import tqdm

    return tqdm(
        total=n_total,
        initial=n_done,
        unit=" steps",
        desc=title,
        disable=is_silent,
        # A log file gets a line now and then, not ten a second.
        mininterval=0.1 if sys.stderr.isatty() else 10.0,
        dynamic_ncols=True,
    )
