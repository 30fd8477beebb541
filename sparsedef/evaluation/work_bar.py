"""A progress bar of looks at classifiers, which several evaluations may share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm


class WorkBar:
    """Shows what is being done, and how much of all the work is done.

    Args:
        bar: Of tqdm.
    """

    def __init__(self, bar: tqdm[None]) -> None:
        """Keeps the bar; see the class."""
        self.bar = bar
        self.done = 0.0

    def say(self, title: str) -> None:
        """Says what is being done, at once."""
        self.bar.set_description(title)

    def expect(self, total: float) -> None:
        """Begins anew with so much work."""
        self.bar.reset(round(total))
        self.done = 0.0

    def advance(self, title: str, cost: float) -> None:
        """Says what is being done, and that ``cost`` more is done."""
        self.done += cost
        self.bar.set_description(title, refresh=False)
        self.bar.update(round(self.done) - self.bar.n)


@contextmanager
def work_bar(total: float | None = None, *, is_silent: bool = False) -> Iterator[WorkBar]:
    """Opens a bar; without ``total`` the amount of work is said later (``expect``)."""
    with tqdm(
        total=None if total is None else round(total), disable=is_silent,
        bar_format="{l_bar}{bar}| {elapsed}<{remaining}", dynamic_ncols=True,
    ) as bar:  # fmt: skip
        yield WorkBar(bar)
