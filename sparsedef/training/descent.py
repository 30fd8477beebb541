"""What a training holds between two minibatches, and how one more changes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sparsedef.learning.ranks import Ranks
from sparsedef.training.exchange import sum_over_ranks
from sparsedef.training.step import Batch, Loss, Step, device_of


class Stepper(Protocol):
    """An optimiser or a schedule of ``torch.optim``, or what wraps one (Lookahead, say)."""

    def step(self) -> object:
        """Takes one step."""

    def state_dict(self) -> dict[str, Any]:
        """All that it needs to go on: tensors and plain values."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> object:
        """Takes it over."""


@dataclass
class Trained:
    """How a training went.

    Attributes:
        losses: Mean loss of each epoch.
        scores: What ``validate`` returned after each epoch; empty without it.
        best_epoch: Whose weights the model has, from 0; ``None`` without ``validate``: the last.
    """

    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    best_epoch: int | None = None


class Descent:
    """The state of a training.

    Args:
        model: What is trained.
        optimizer: Of its parameters.
        schedule: Of the learning rate, if there is one.
        max_norm: Of the gradient, if it is clipped.
        ranks: Who shares the minibatches.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Stepper,
        schedule: Stepper | None,
        max_norm: float | None,
        ranks: Ranks,
    ) -> None:
        """Keeps them, at the first step; see the class."""
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.max_norm, self.ranks = max_norm, ranks
        self.n_done = 0  # minibatches
        self.total = 0.0  # of this epoch's losses, each times its samples
        self.n_seen = 0  # samples of this epoch
        self.trained = Trained()
        self.best: dict[str, Tensor] | None = None

    def descend(self, loss: Loss, batch: Batch | None, step: Step) -> float:
        """Takes the step of one minibatch.

        Args:
            loss: Gives the mean over ``batch``.
            batch: This rank's samples; ``None`` where there are fewer samples than ranks.
            step: Of the minibatch.

        Returns:
            The mean loss of the whole minibatch.

        Raises:
            ValueError: It is infinite or NaN.
        """
        self._drop_gradients()
        if batch is None:
            mean, share = torch.zeros((), device=device_of(self.model)), 0.0
        else:
            mean, share = loss(batch, step), len(batch[0]) / step.n_rows
            mean.backward()
        value = float(sum_over_ranks(self.model, mean, share, self.ranks))
        if not math.isfinite(value):
            raise _diverged(f"the loss was {value}", step.epoch)
        if self.max_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.max_norm)
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        self.n_done += 1
        self.total += value * step.n_rows
        self.n_seen += step.n_rows
        return value

    def end_epoch(self, validate: Callable[[], float] | None) -> None:
        """Notes the epoch's loss and score, and its weights if none before were better.

        Raises:
            ValueError: The weights or the score are infinite or NaN.
        """
        epoch = len(self.trained.losses)
        if not all(bool(each.isfinite().all()) for each in self.model.parameters()):
            raise _diverged("weights became infinite or NaN", epoch)
        self.trained.losses.append(self.total / self.n_seen)
        self.total, self.n_seen = 0.0, 0
        if validate is None:
            return
        self.model.eval()
        own = torch.tensor([float(validate())], dtype=torch.float64)
        score = float(self.ranks.gather(own)[0])
        if not math.isfinite(score):
            raise ValueError(f"train: validate must return a finite number, got {score}")
        best = self.trained.best_epoch
        if best is None or score >= self.trained.scores[best]:
            self.trained.best_epoch = epoch
            self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.trained.scores.append(score)

    def finish(self) -> Trained:
        """Gives the model the best epoch's weights, if there was a choice; drops gradients."""
        if self.best is not None:
            self.model.load_state_dict(self.best)
        self._drop_gradients()
        self.model.eval()
        return self.trained

    def _drop_gradients(self) -> None:
        for parameter in self.model.parameters():
            parameter.grad = None

    def state(self) -> dict[str, Any]:
        """All of it: tensors and plain values."""
        return {
            "n_done": self.n_done,
            "total": self.total,
            "n_seen": self.n_seen,
            "trained": asdict(self.trained),
            "model": self.model.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes over what ``state`` gave."""
        self.n_done, self.total, self.n_seen = state["n_done"], state["total"], state["n_seen"]
        self.trained = Trained(**state["trained"])
        self.best = state["best"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])


def _diverged(what: str, epoch: int) -> ValueError:
    return ValueError(
        f"train: the training must stay finite, but {what} in epoch {epoch + 1} (a lower learning"
        " rate, or max_norm=1.0, may keep it)"
    )
