"""Masks of regions: growing and shrinking them, the largest blob, and its holes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def dilate(mask: Tensor, reach: int) -> Tensor:
    """Grows masks ``[B, H, W]`` by ``reach`` pixels in all eight directions."""
    return _spread(_spread(mask, reach, 1), reach, 2)


def erode(mask: Tensor, reach: int) -> Tensor:
    """Shrinks masks by ``reach`` pixels; the border of the image takes nothing away."""
    return ~dilate(~mask, reach)


def largest_blob(mask: Tensor) -> Tensor:
    """Keeps the largest 8-connected blob of each mask ``[B, H, W]``; of equal ones the topmost.

    Example:
        >>> mask = torch.tensor([[[1, 0, 0, 1], [0, 1, 0, 0]]]).bool()
        >>> largest_blob(mask).int().tolist()
        [[[1, 0, 0, 0], [0, 1, 0, 0]]]
    """
    n_images, height, width = mask.shape
    run, blob, first = _blobs(mask, has_diagonals=True)
    if len(blob) == 0:
        return mask.clone()
    image = first // (height * width)
    length = torch.bincount(run[mask], minlength=len(blob))
    size = torch.zeros_like(blob).scatter_add_(0, blob, length)
    most = size.new_zeros(n_images).scatter_reduce_(0, image, size, "amax")
    # blobs are numbered by their topmost run
    number = torch.where(
        size == most[image], torch.arange(len(blob), device=mask.device), len(blob)
    )
    chosen = torch.full_like(most, len(blob)).scatter_reduce_(0, image, number, "amin")
    return mask & (blob == chosen[image])[run]


def fill_holes(mask: Tensor) -> Tensor:
    """Adds to masks ``[B, H, W]`` what they enclose: the rest that reaches no border.

    The rest hangs together by edges, not by corners, so that a blob that hangs together by corners
    encloses.

    Example:
        >>> ring = torch.tensor([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]]).bool()
        >>> fill_holes(ring).int().tolist()
        [[[0, 1, 0], [1, 1, 1], [0, 1, 0]]]
    """
    rest = functional.pad(~mask, (1, 1, 1, 1), value=True)
    run, blob, _ = _blobs(rest, has_diagonals=False)
    root = torch.where(rest, blob[run], -1)
    outside = root == root[:, :1, :1]
    return ~outside[:, 1:-1, 1:-1]


def _spread(mask: Tensor, reach: int, dim: int) -> Tensor:
    """Or over ``2 * reach + 1`` neighbours along ``dim``, each round over twice as many."""
    side, have = 2 * reach + 1, 1
    pads = (reach, reach) if dim == 2 else (0, 0, reach, reach)
    mask = functional.pad(mask, pads)
    while have < side:
        step = min(have, side - have)
        length = mask.shape[dim] - step
        mask = mask.narrow(dim, 0, length) | mask.narrow(dim, step, length)
        have += step
    return mask


def _blobs(mask: Tensor, *, has_diagonals: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Labels blobs by way of runs: true pixels that follow one another in a row.

    Each run starts as a blob of its own. Round by round, runs that touch take the lower number of
    theirs and of what their numbers stand for, which carries news over twice the distance each
    time, until nothing changes.

    Returns:
        Which run each pixel is in, ``[B, H, W]`` (anything where ``mask`` is false); the blob of
        each run, ``[R]``, by its topmost run; the first pixel of each run among all, ``[R]``.
    """
    width = mask.shape[2]
    starts = mask.clone()
    starts[:, :, 1:] &= ~mask[:, :, :-1]
    run = (starts.flatten().cumsum(0) - 1).clamp_min_(0).view_as(mask)
    first = starts.flatten().nonzero()[:, 0]
    above, below = [], []
    for shift in (-1, 0, 1) if has_diagonals else (0,):
        # pixel (row, column) and pixel (row + 1, column + shift)
        upper = slice(max(0, -shift), width - max(0, shift))
        lower = slice(max(0, shift), width - max(0, -shift))
        touches = mask[:, :-1, upper] & mask[:, 1:, lower]
        touches[:, :, 1:] &= ~touches[:, :, :-1]  # once for each pair of runs
        above.append(run[:, :-1, upper][touches])
        below.append(run[:, 1:, lower][touches])
    one, other = torch.cat(above), torch.cat(below)
    blob = torch.arange(len(first), device=mask.device)
    while True:
        mine, theirs = blob[one], blob[other]
        low = torch.minimum(mine, theirs)
        joined = blob.clone()
        for place in (one, other, mine, theirs):
            joined.scatter_reduce_(0, place, low, "amin")
        joined = joined[joined]
        if torch.equal(joined, blob):
            return run, blob, first
        blob = joined
