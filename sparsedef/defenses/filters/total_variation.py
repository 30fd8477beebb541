"""Total variation: the image nearest to the given one that has little slope in all."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from sparsedef.defenses.filters.recompute import recomputed
from sparsedef.solvers.checks import check_count

# primal step over dual step at the start: pixels move by tenths, their duals by at most `weight`
STEP_RATIO = 9.0
# images that autograd keeps per iteration
KEPT_PER_STEP = 14


def total_variation(
    images: Tensor, *, weight: float = 0.03, steps: int = 100, mask: Tensor | None = None
) -> Tensor:
    """Runs ``steps`` iterations towards the image of least squared error plus total variation.

    Minimises over ``z``, for each image and channel,

        ``1/2 ||mask * (z - images)||^2 + weight * sum_ij ||(grad z)_ij||_2``

    with forward differences that are zero beyond the last row and column (isotropic total
    variation). Pixels where ``mask`` is 0 are filled in from around them. Solved by the
    primal-dual iteration of Chambolle and Pock, from

        ``p <- project(p + sigma * grad(z'))``, ``project``: every ``p_ij`` to length ``weight``,

        ``z <- (z - tau * grad^T p + tau * mask * images) / (1 + tau * mask)``,

        ``z' <- z + theta * (z - z_before)``,

    ``theta`` below 1 (accelerated) without a mask and 1 with one.

    Args:
        images: ``[B, C, H, W]``.
        weight: Of the total variation, above 0, in units of ``images``.
        steps: Number of iterations; always as many.
        mask: Which pixels to trust, 0 or 1, ``[B, 1, H, W]`` or ``[B, C, H, W]``; all if ``None``.

    Returns:
        ``z`` ``[B, C, H, W]`` after the last iteration.

    Raises:
        ValueError: ``weight`` is not above 0, ``steps`` below 1, or ``mask`` has a wrong shape.

    Gradients: exact for what is computed, that is, through the iterations. Memory is bounded:
    large images keep the state of every tenth iteration or so and compute the rest again.

    Example:
        >>> flat = torch.full((1, 3, 8, 8), 0.5)
        >>> bool(torch.allclose(total_variation(flat), flat))
        True

    Source: Rudin, Osher, Fatemi, 1992; Chambolle, 2004; Chambolle, Pock, 2011, algorithm 2.
    """
    check_count("total_variation", "steps", steps)
    if not weight > 0:
        raise ValueError(f"total_variation: weight must be > 0, got {weight}")
    batch, channels, height, width = images.shape
    shapes = [[batch, 1, height, width], [batch, channels, height, width]]
    if mask is not None and list(mask.shape) not in shapes:
        raise ValueError(
            f"total_variation: mask must be [B, 1, H, W] or [B, C, H, W] to match "
            f"{list(images.shape)}, got {list(mask.shape)}"
        )
    trust = torch.ones_like(images[:, :1]) if mask is None else mask.to(images)
    # |grad|^2 is at most 8, and tau * sigma * 8 may be at most 1
    tau, sigma = math.sqrt(STEP_RATIO / 8), 1 / math.sqrt(8 * STEP_RATIO)
    schedule = []
    for _ in range(steps):
        # the squared error is strongly convex, with constant 1, only where it is complete
        theta = 1 / math.sqrt(1 + 2 * tau) if mask is None else 1.0
        schedule.append((tau, sigma, theta))
        tau, sigma = theta * tau, sigma / theta
    block = math.isqrt(steps)

    def run(first: int, images: Tensor, trust: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        for rates in schedule[first : first + block]:
            state = _step(state, images, trust, weight, rates)
        return state

    start = images if mask is None else _fill(images, trust)
    nothing = torch.zeros_like(images)
    state: tuple[Tensor, ...] = (start, start, nothing, nothing)
    kept = KEPT_PER_STEP * steps * images.numel()
    for first in range(0, steps, block):
        state = recomputed(partial(run, first), images, trust, *state, kept=kept)
    return state[0]


def _step(
    state: tuple[Tensor, ...],
    images: Tensor,
    trust: Tensor,
    weight: float,
    rates: tuple[float, float, float],
) -> tuple[Tensor, ...]:
    """Makes one iteration on ``z``, ``z'`` and the dual's two parts, all ``[B, C, H, W]``."""
    tau, sigma, theta = rates
    before, ahead, down, right = state
    down = down + sigma * torch.diff(ahead, dim=-2, append=ahead[..., -1:, :])
    right = right + sigma * torch.diff(ahead, dim=-1, append=ahead[..., -1:])
    # clamped before the root: no division by zero, and no gradient where nothing is projected
    length = (down.square() + right.square()).clamp_min(weight**2).sqrt()
    down, right = down * (weight / length), right * (weight / length)
    # the last row of `down` and the last column of `right` are zero: their slope is
    pull = torch.diff(functional.pad(down, (0, 0, 1, 0)), dim=-2)
    pull = pull + torch.diff(functional.pad(right, (1, 0)), dim=-1)
    now = (before + tau * (pull + trust * images)) / (1 + tau * trust)
    return now, now + theta * (now - before), down, right


def _fill(images: Tensor, trust: Tensor) -> Tensor:
    """Starts each pixel that is not trusted at the mean of the trusted ones within two pixels."""
    total = functional.avg_pool2d(images * trust, 5, stride=1, padding=2)
    share = functional.avg_pool2d(trust, 5, stride=1, padding=2)
    return trust * images + (1 - trust) * total / share.clamp_min(1e-6)
