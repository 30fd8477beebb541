"""What all learners share: the dictionary, coding with it, and their state on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from sparsedef.learning import checkpoint as files
from sparsedef.learning.coding import Coding, check_signals
from sparsedef.learning.ranks import Ranks
from sparsedef.solvers import SparseCode

_Own = TypeVar("_Own", bound="Learner")


class Learner:
    """A dictionary that is learned, with its settings.

    A subclass sets ``settings`` (plain values, its constructor's arguments by name) and
    ``coding``, and keeps what it learns in the attributes named by ``LEARNED``.

    Attributes:
        objective: What each step found, as pairs of a count and a mean objective.
    """

    LEARNED: ClassVar[tuple[str, ...]] = ()
    FREE: ClassVar[tuple[str, ...]] = ("n_epochs", "n_iter", "backend")  # may differ in a state

    settings: dict[str, Any]
    coding: Coding
    objective: list[tuple[int, float]]
    _dictionary: Tensor | None = None
    _n_done: int  # steps of ``fit``
    _data: list[int]  # by which the data of ``fit`` is known again

    @property
    def dictionary(self) -> Tensor:
        """The atoms, ``[N, M]``, one per row.

        Raises:
            AttributeError: Nothing has been learned yet.
        """
        if self._dictionary is None:
            name = type(self).__name__
            raise AttributeError(f"{name}: there is no dictionary before fit has been called")
        return self._dictionary

    def encode(self, x: Tensor, layout: str = "dense") -> SparseCode:
        """Codes signals with the learned dictionary, as it was coded while learning.

        Args:
            x: Signals, ``[B, M]``.
            layout: ``"dense"`` or ``"compact"``.

        Returns:
            ``SparseCode``.
        """
        check_signals(f"{type(self).__name__}.encode", x, self.dictionary)
        return self.coding.code(x, self.dictionary, layout)

    def state_dict(self) -> dict[str, Any]:
        """Gives all that is needed to go on: tensors and plain values."""
        learned = {name.lstrip("_"): getattr(self, name) for name in self.LEARNED}
        return {"kind": type(self).__name__, "settings": dict(self.settings), **learned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state of the same kind and settings (epochs and backend may differ).

        Raises:
            ValueError: Its kind, settings or entries are others.
        """
        who = f"{type(self).__name__}.load_state_dict"
        self._check_kind(state)
        wrong = [
            f"{name}={state['settings'].get(name)!r}, not {value!r}"
            for name, value in self.settings.items()
            if name not in self.FREE and state["settings"].get(name) != value
        ]
        if wrong:
            raise ValueError(f"{who}: settings must be the same, the state has {'; '.join(wrong)}")
        missing = [name for name in self.LEARNED if name.lstrip("_") not in state]
        if missing:
            raise ValueError(f"{who}: the state lacks {', '.join(missing)}")
        for name in self.LEARNED:
            value = state[name.lstrip("_")]
            setattr(self, name, value.clone() if isinstance(value, Tensor) else value)
        self.objective = [(int(count), float(value)) for count, value in self.objective]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes settings and state to a file, all or nothing."""
        files.write(path, self.state_dict())

    @classmethod
    def load(
        cls: type[_Own],
        path: str | os.PathLike[str],
        *,
        device: torch.device | str | None = None,
    ) -> _Own:
        """Makes a learner from a file that ``save`` or a checkpoint wrote.

        Args:
            path: The file; it is read without running code from it.
            device: Where its tensors go; ``None``: where they were.
        """
        state = files.read(path, device)
        cls._check_kind(state)
        learner = cls(**state["settings"])
        learner.load_state_dict(state)
        return learner

    def _forget(self) -> None:
        """Makes it a learner that has seen nothing."""
        self._dictionary = None
        self.objective = []
        self._n_done = 0
        self._data = []

    def _start(
        self, who: str, x: Tensor, checkpoint: str | os.PathLike[str] | None, ranks: Ranks
    ) -> None:
        """Forgets everything, or goes on from a checkpoint of the same data."""
        self._forget()
        data = files.fingerprint(x, ranks)
        self._data = data
        if checkpoint is None or not Path(checkpoint).exists():
            return
        self.load_state_dict(files.read(checkpoint, x.device))
        if self._data != data:
            self._forget()
            raise ValueError(
                f"{who}: the checkpoint must be of the same data, its rows or ranks are others"
                " (give another path to begin anew)"
            )

    @classmethod
    def _check_kind(cls, state: dict[str, Any]) -> None:
        if state.get("kind") != cls.__name__:
            raise ValueError(
                f"{cls.__name__}: the state must be of a {cls.__name__}, got one of"
                f" {state.get('kind')!r}"
            )


def check_flags(who: str, **flags: object) -> None:
    """Demands booleans."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f"{who}: {name} must be a bool, got {type(value).__name__}")


def progress_bar(is_shown: bool, total: int, done: int, unit: str) -> Any:
    """A bar of tqdm, which is imported only when one is shown, or a stand-in that shows nothing."""
    if not is_shown:
        return _NoBar()
    from tqdm.auto import tqdm

    return tqdm(total=total, initial=done, unit=unit, desc="learning")


class _NoBar:
    """Takes what a bar takes."""

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, count: int) -> None:
        pass

    def set_postfix(self, **figures: object) -> None:
        pass
