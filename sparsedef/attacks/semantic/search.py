"""The search that edits with parameters share: look at points, climb from them, keep the best."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from sparsedef.attacks.base import misclassified
from sparsedef.attacks.losses import Loss, margin
from sparsedef.attacks.target import Model, Target, owner

# the model's owner, images [R, 3, H, W], labels [R] to a value per image [R], to be climbed
ModelLoss = Callable[[Any, Tensor, Tensor], Tensor]

OPTIMIZERS = ("adam", "sign")


class Space(Protocol):
    """Edits of B images: which parameters they have, and what they make of each image."""

    def images(self, points: Tensor, rows: Tensor) -> Tensor:
        """Edits the images numbered ``rows`` ``[R]`` by ``points`` ``[R, P]``; differentiable."""

    def project(self, points: Tensor, rows: Tensor) -> Tensor:
        """Brings ``points`` ``[R, P]`` to where the images numbered ``rows`` may go."""


class Strongest:
    """Remembers, per image, the strongest edit seen.

    Misclassified is stronger than not; among equals the larger ``loss`` is. NaN logits count as
    misclassified, and a NaN loss as infinite.

    Args:
        start: Returned where nothing is seen, ``[B, ...]``.
        labels: True classes, ``[B]``.
        loss: Of the logits.
    """

    def __init__(self, start: Tensor, labels: Tensor, loss: Loss) -> None:
        """Begins with ``start``, which anything beats."""
        self.points = start.clone()
        self.labels = labels
        self.loss = loss
        self.rank = start.new_full(labels.shape, -torch.inf)
        self.wrong = torch.zeros_like(labels, dtype=torch.bool)

    def keep(self, rows: Tensor, points: Tensor, logits: Tensor) -> Tensor:
        """Takes over those of ``points`` ``[R, ...]``, for the images ``rows``, that are stronger.

        Args:
            rows: Numbers of images, ``[R]``, each at most once.
            points: Of the edits shown.
            logits: The model's answers, ``[R, classes]``.

        Returns:
            Which were, ``[R]`` bool.
        """
        labels = self.labels[rows]
        wrong, known = misclassified(logits, labels), self.wrong[rows]
        value = self.loss(logits, labels).to(self.rank.dtype)
        value = torch.where(torch.isnan(value), torch.inf, value)
        is_better = (wrong & ~known) | ((wrong == known) & (value > self.rank[rows]))
        taken = rows[is_better]
        self.points[taken] = points[is_better]
        self.rank[taken] = value[is_better]
        self.wrong[rows] = known | wrong
        return is_better


class Search:
    """Looks at edits of a batch of images and remembers the strongest of each.

    An image that has fallen is left alone from then on, but for a random model's, of which a
    lucky draw must not end the search.

    Args:
        target: Answers with logits and gradients.
        labels: True classes, ``[B]``.
        space: The edits.
        start: Points ``[B, P]`` that are returned where none is seen.
        loss: Of the logits; ranks points, and is climbed.
        climbs: Climbed in place of ``loss``, where given.
    """

    def __init__(
        self,
        target: Target,
        labels: Tensor,
        space: Space,
        start: Tensor,
        *,
        loss: Loss,
        climbs: ModelLoss | None = None,
    ) -> None:
        """Keeps the settings; see the class."""
        self.target = target
        self.labels = labels
        self.space = space
        self.loss = loss
        self.climbs = climbs
        self.best = Strongest(start, labels, loss)

    @property
    def standing(self) -> Tensor:
        """Numbers of the images still searched, ``[R]``."""
        is_done = self.best.wrong if self.target.draws == 1 else torch.zeros_like(self.best.wrong)
        return torch.nonzero(~is_done)[:, 0]

    def strongest(self, candidates: Iterable[Tensor]) -> Tensor:
        """Shows each of ``candidates``, ``[B, P]`` each, and gives each image's strongest.

        It is the strongest of these, whatever is known from before: a start for climbing.
        """
        of_these = Strongest(self.best.points, self.labels, self.loss)
        for points in candidates:
            rows = self.standing
            if rows.numel():
                logits = self.target.logits(
                    self.space.images(points[rows], rows), self.labels[rows]
                )
                of_these.keep(rows, points[rows], logits)
                self.best.keep(rows, points[rows], logits)
        return of_these.points

    def climb(self, start: Tensor, *, steps: int, step_size: float, optimizer: str) -> None:
        """Ascends from ``start`` ``[B, P]`` by projected steps and looks at every point.

        ``"sign"``: ``p <- project(p + step_size * sign(g))``; ``"adam"``: by Adam's rule with
        decays 0.9 and 0.999. A longer climb begins with the shorter one.
        """
        points = start.clone()
        rule = StepRule(points, optimizer)
        for _ in range(steps):
            rows = self.standing
            if rows.numel() == 0:
                return
            here = points[rows]
            logits, grad = self._probe(here, rows)
            self.best.keep(rows, here, logits)
            points[rows] = self.space.project(here + step_size * rule(grad, rows), rows)
        self.strongest([points])

    def _probe(self, points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and gradient at ``points`` ``[R, P]``; health counts these gradients."""

        def edit(points: Tensor) -> Tensor:
            return self.space.images(points, rows)

        target, labels, climbs = self.target, self.labels[rows], self.climbs
        differentiated = target.gradient_model or target.model
        seen = copy.copy(target)  # health is counted in one place
        seen.model = _Seen(target.model, edit)
        if climbs is None:
            seen.gradient_model = _Seen(differentiated, edit)
            probe = seen.probe(points, labels, self.loss)
        else:
            seen.has_true_logits = False
            seen.gradient_model = lambda points: as_logits(
                climbs(owner(differentiated), edit(points), labels), labels
            )
            probe = seen.probe(points, labels, margin)
        return probe.logits, probe.grad


class StepRule:
    """Turns gradients into steps of about 1 per parameter, for points ``[B, ...]``.

    Args:
        points: Anything of their shape.
        optimizer: ``"sign"``, or ``"adam"`` with decays 0.9 and 0.999.
    """

    def __init__(self, points: Tensor, optimizer: str) -> None:
        """Begins without momentum."""
        self.is_sign = optimizer == "sign"
        self.first, self.second = torch.zeros_like(points), torch.zeros_like(points)
        self.step = 0

    def __call__(self, grad: Tensor, rows: Tensor) -> Tensor:
        """The step ``[R, ...]`` for the gradient at the points numbered ``rows`` ``[R]``."""
        if self.is_sign:
            return grad.sign()
        self.step += 1
        self.first[rows] = 0.9 * self.first[rows] + 0.1 * grad
        self.second[rows] = 0.999 * self.second[rows] + 0.001 * grad.square()
        scale = (1 - 0.999**self.step) ** 0.5 / (1 - 0.9**self.step)
        return scale * self.first[rows] / (self.second[rows].sqrt() + 1e-8)


class _Seen:
    """A model as a function of the parameters of an edit."""

    def __init__(self, model: Model, edit: Model) -> None:
        self.model = model
        self.edit = edit

    @property
    def is_random(self) -> bool:
        """Whether the model says that it is."""
        return bool(getattr(owner(self.model), "is_random", False))

    def __call__(self, points: Tensor) -> Tensor:
        return self.model(self.edit(points))


def as_logits(values: Tensor, labels: Tensor) -> Tensor:
    """Writes values ``[B]`` as logits ``[B, classes]`` whose ``margin`` they are.

    All classes are 0 but the true one, which is ``-values``.
    """
    classes = max(2, int(labels.max()) + 1)
    return values.new_zeros(len(values), classes).scatter(1, labels[:, None], -values[:, None])
