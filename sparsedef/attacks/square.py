"""Square attack: random search by squares, on the model's scores alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from sparsedef.attacks.ball import Ball
from sparsedef.attacks.base import Attack
from sparsedef.attacks.inputs import Norm, check_positive
from sparsedef.attacks.losses import find_loss
from sparsedef.attacks.score import ask
from sparsedef.attacks.square_moves import L2Moves, LinfMoves, Moves
from sparsedef.attacks.target import Target
from sparsedef.solvers.checks import check_count

# moves after which the share of pixels is halved, of 10,000
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
MOVES: Mapping[Norm, type[Moves]] = {"linf": LinfMoves, "l2": L2Moves}


class Square(Attack):
    """Changes one random square at a time and keeps what raises the loss.

    ``x <- x_new`` if ``loss(x_new) > loss(x)``, with ``x_new`` equal to ``x`` but for a random
    square; ``LinfMoves`` and ``L2Moves`` say how it is filled. The square's side after i moves is
    ``round(sqrt(p_i * H * W))``, at least 1 pixel (linf), or odd and at least 3 (L2), and at most
    the image's shorter side. ``p_i`` is ``first_share``, halved after 10, 50, 200, 500, 1000,
    2000, 4000, 6000 and 8000 moves of 10,000, a schedule that is stretched to ``schedule`` moves.

    No gradient is asked for, so masked gradients do not protect, and ``health`` stays empty. If
    this beats an attack with gradients, those gradients mislead.

    A query is one image shown to the model once; all draws of a random model are one query. The
    first is the clean image (or ``start``), the second the random beginning; an image is no longer
    asked once it is misclassified (by a random model: in every draw of one query), nor more than
    ``queries`` times. The judgement that ends every attack adds one look per image. An image that
    holds out comes back as the point where its search ended.

    An image's random numbers depend on the seed, its place in the batch and the batch's size, not
    on what the other images are or when they fall. On a random model a lucky query can hold
    back later ones: more ``draws`` help.

    Args:
        eps: Radius, in pixel units of [0, 1].
        norm: ``"linf"`` or ``"l2"``.
        queries: Most queries per image.
        first_share: Share of an image's pixels in the first square, ``p`` in the paper; the
            default is AutoAttack's. The paper tunes it per data set, 0.05 (linf) and 0.1 (L2) on
            ImageNet: smaller suits larger images.
        schedule: Number of moves over which the square shrinks; ``None``: ``queries``. With a
            fixed number a longer search continues a shorter one exactly, so it is never weaker.
        loss: ``"margin"``, ``"ce"`` or ``"dlr"``.
        seed: Of the squares, and of a random model's draws.
        draws: How often a random model is asked, per query.

    Source: Andriushchenko, Croce, Flammarion, Hein, 2020.
    """

    uses_gradient: ClassVar[bool] = False

    def __init__(
        self,
        eps: float,
        *,
        norm: Norm = "linf",
        queries: int = 5000,
        first_share: float = 0.8,
        schedule: int | None = None,
        loss: str = "margin",
        seed: int = 0,
        draws: int = 20,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(eps, norm=norm, seed=seed, draws=draws)
        self.queries = check_count(self.name, "queries", queries)
        self.schedule = (
            self.queries if schedule is None else check_count(self.name, "schedule", schedule)
        )
        self.first_share = check_positive(self.name, "first_share", first_share)
        if self.first_share > 1:
            raise ValueError(f"{self.name}: first_share must be <= 1, got {first_share}")
        self.loss = find_loss(self.name, loss)

    def side(self, moves: int, height: int, width: int) -> int:
        """The square's side in pixels after ``moves`` moves, on images ``[C, height, width]``."""
        halvings = sum(moves * 10_000 > mark * self.schedule for mark in HALVINGS)
        side = math.sqrt(self.first_share / 2**halvings * height * width)
        return min(MOVES[self.norm].whole_side(side), height, width)

    def perturb(
        self,
        target: Target,
        images: Tensor,
        labels: Tensor,
        start: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Searches; see the class."""
        moves = MOVES[self.norm](Ball(images, self.radius, self.norm), generator)
        points = (images if start is None else start).clone()
        value, is_fallen = ask(target, points, labels, self.loss)
        rows = torch.nonzero(~is_fallen)[:, 0]  # images still asked
        first_move = 2 if start is None else 1
        for query in range(1, self.queries):
            if rows.numel() == 0:
                break
            if query < first_move:
                candidates = moves.begin()[rows]
                value = torch.full_like(value, -torch.inf)  # leave the clean image in any case
            else:
                side = self.side(query - first_move, *images.shape[2:])
                candidates = moves.propose(points, rows, side)
            score = ask(target, candidates, labels[rows], self.loss)
            is_better = score.is_fallen | (score.loss > value[rows])
            taken = rows[is_better]
            points[taken], value[taken] = candidates[is_better], score.loss[is_better]
            rows = rows[~score.is_fallen]
        return points
