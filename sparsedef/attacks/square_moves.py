"""The random moves of the Square attack: which window of an image changes next, and how."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from sparsedef.attacks.ball import Ball, per_image


class Window(NamedTuple):
    """One square per image: how far each pixel lies below its top edge and right of its left.

    ``down`` ``[B, H]`` and ``across`` ``[B, W]``, int64; inside the square both are in
    ``[0, side)``.
    """

    down: Tensor
    across: Tensor
    side: int

    def rows(self, rows: Tensor) -> Window:
        """The windows of the images numbered ``rows`` ``[R]``."""
        return Window(self.down[rows], self.across[rows], self.side)

    def covers(self) -> Tensor:
        """Which pixels are inside, ``[B, 1, H, W]`` bool."""
        down, across = ((o >= 0) & (o < self.side) for o in (self.down, self.across))
        return (down[:, :, None] & across[:, None, :])[:, None]

    def place(self, pattern: Tensor) -> Tensor:
        """Puts ``pattern`` ``[side, side]`` into each window and zero elsewhere, ``[B, 1, H, W]``.

        Pixels outside read some entry of the pattern first; ``covers`` then blanks them.
        """
        down, across = (o.clamp(0, self.side - 1) for o in (self.down, self.across))
        return pattern[down[:, :, None], across[:, None, :]][:, None] * self.covers()


class Moves(ABC):
    """Draws where to begin and what to try next, inside ``ball``.

    Every draw is made for all B images of the attack, also for those that have fallen, so that
    what is drawn for one image does not depend on when the others fall.
    """

    def __init__(self, ball: Ball, generator: torch.Generator) -> None:
        """Keeps the budget and the source of randomness."""
        self.ball = ball
        self.generator = generator

    @staticmethod
    @abstractmethod
    def whole_side(side: float) -> int:
        """The side in whole pixels nearest to ``side`` that these moves can use."""

    @abstractmethod
    def begin(self) -> Tensor:
        """Draws a first point for every image, ``[B, C, H, W]``."""

    @abstractmethod
    def propose(self, points: Tensor, rows: Tensor, side: int) -> Tensor:
        """Changes a random square of the images numbered ``rows`` ``[R]``.

        Args:
            points: Where all images are now, ``[B, C, H, W]``.
            rows: Images that are still searched.
            side: Of the square, in pixels.

        Returns:
            Candidates ``[R, C, H, W]`` in the ball.
        """

    def _integers(self, below: int, *shape: int) -> Tensor:
        device = self.ball.centre.device
        return torch.randint(0, below, shape, generator=self.generator, device=device)

    def _signs(self, *shape: int) -> Tensor:
        return (2 * self._integers(2, *shape) - 1).to(self.ball.centre.dtype)

    def _window(self, side: int) -> Window:
        count, _, height, width = self.ball.centre.shape
        device = self.ball.centre.device
        top = self._integers(height - side + 1, count, 1)
        left = self._integers(width - side + 1, count, 1)
        down = torch.arange(height, device=device) - top
        return Window(down, torch.arange(width, device=device) - left, side)


class LinfMoves(Moves):
    """Moves between corners: each pixel is at ``clip(x - eps)`` or ``clip(x + eps)``.

    It begins with vertical stripes, a random sign per channel and column. A move gives a square
    one random sign per channel. A draw that would change nothing is negated: it would waste its
    query.
    """

    def __init__(self, ball: Ball, generator: torch.Generator) -> None:
        """Computes the two ends of every pixel's range."""
        super().__init__(ball, generator)
        self.low = ball.project(ball.centre - ball.eps)
        self.high = ball.project(ball.centre + ball.eps)

    @staticmethod
    def whole_side(side: float) -> int:
        """At least 1 pixel."""
        return max(1, round(side))

    def begin(self) -> Tensor:
        """Draws vertical stripes."""
        count, channels, _, width = self.ball.centre.shape
        up = self._integers(2, count, channels, 1, width) == 1
        return torch.where(up, self.high, self.low)

    def propose(self, points: Tensor, rows: Tensor, side: int) -> Tensor:
        """Sets a square to one corner per channel."""
        inside = self._window(side).rows(rows).covers()
        up = (self._integers(2, *points.shape[:2], 1, 1) == 1)[rows]
        here, low, high = points[rows], self.low[rows], self.high[rows]
        moved = torch.where(inside, torch.where(up, high, low), here)
        is_idle = (moved == here).flatten(1).all(1)
        up = up ^ per_image(is_idle)
        return torch.where(inside, torch.where(up, high, low), here)


class L2Moves(Moves):
    """Moves length from one square into another, and with it all of the budget that is unused.

    With ``d`` the perturbation, W1 and W2 two random squares of side s, ``eta`` a dipole (below)
    turned at random, and rho a random sign per channel, a move sets, per channel,

        ``d[W2] <- 0``,  ``d[W1] <- a * v / ||v||_2``,  ``v = rho * eta + d[W1] / ||d[W1]||_2``,
        ``a^2 = ||d[W1 + W2]||_2^2 + (eps^2 - ||d||_2^2) / C``,

    which fills the budget exactly; clipping to [0, 1] may leave some of it for the next move. It
    begins with the image tiled by dipoles of side ``min(H, W) // 5``, turned at random, a random
    sign per channel.
    """

    @staticmethod
    def whole_side(side: float) -> int:
        """Odd, and at least 3 pixels: a dipole needs room."""
        return max(3, round(side)) | 1

    def begin(self) -> Tensor:
        """Draws a grid of dipoles that fills the budget."""
        count, channels, height, width = self.ball.centre.shape
        side = max(1, min(height, width) // 5)
        down, across = (torch.arange(n, device=self.ball.centre.device) for n in (height, width))
        tile_down, tile_across = (down // side)[:, None], across // side
        within = (down % side)[:, None], across % side
        grid = -(-height // side), -(-width // side)
        is_turned = (self._integers(2, count, 1, *grid) == 1)[:, :, tile_down, tile_across]
        pattern = dipole(side, self.ball.centre)
        eta = torch.where(is_turned, pattern.mT[within], pattern[within])
        eta = eta * self._signs(count, channels, *grid)[:, :, tile_down, tile_across]
        return self.ball.project(self.ball.centre + self.ball.eps * self.ball.steepest(eta))

    def propose(self, points: Tensor, rows: Tensor, side: int) -> Tensor:
        """Empties one square into another."""
        count, channels = points.shape[:2]
        target, source = self._window(side).rows(rows), self._window(side).rows(rows)
        sign = self._signs(count, channels, 1, 1)[rows]
        is_turned = per_image(self._integers(2, count)[rows] == 1)
        pattern = dipole(side, points)
        eta = torch.where(is_turned, target.place(pattern.mT), target.place(pattern))
        centre = self.ball.centre[rows]
        delta = points[rows] - centre
        inside, emptied = target.covers(), source.covers()
        unused = (self.ball.eps**2 - delta.flatten(1).square().sum(1)).clamp_min(0)
        moved = (delta * (inside | emptied)).square().sum((2, 3), keepdim=True)
        length = (moved + per_image(unused) / channels).sqrt()
        direction = _unit(sign * eta + _unit(delta * inside))
        new = torch.where(inside, length * direction, torch.where(emptied, 0.0, delta))
        return Ball(centre, self.ball.eps, "l2").project(centre + new)


def dipole(side: int, like: Tensor) -> Tensor:
    """Two pyramids side by side, one up and one down, of unit L2 length: ``[side, side]``.

    A pyramid's height at Chebyshev distance j from its middle is ``sum_{i=j}^{n} 1 / (i + 1)^2``,
    n the largest such distance.

    Args:
        side: In pixels.
        like: Gives dtype and device.
    """
    half = side // 2
    both = torch.cat([_pyramid(half, side, like), -_pyramid(side - half, side, like)])
    return both / both.norm()


def _pyramid(height: int, width: int, like: Tensor) -> Tensor:
    down, across = ((torch.arange(n, device=like.device) - n // 2).abs() for n in (height, width))
    largest = max(height, width) // 2
    steps = torch.arange(1, largest + 2, device=like.device, dtype=like.dtype) ** -2.0
    return steps.flip(0).cumsum(0).flip(0)[torch.maximum(down[:, None], across)]


def _unit(channels: Tensor) -> Tensor:
    """Scales each channel of ``[R, C, H, W]`` to unit L2 length; zero stays zero."""
    return channels / channels.flatten(2).norm(dim=2)[:, :, None, None].clamp_min(1e-30)
