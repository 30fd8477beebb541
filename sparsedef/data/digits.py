"""Handwritten digits that come with scikit-learn: 1,797 real 8 x 8 scans, made 32 x 32 RGB."""

from __future__ import annotations

import torch
from torch.nn import functional

from sparsedef.data.base import Dataset, Split, need_sklearn, shuffled


def load_digits(*, seed: int = 0, size: int = 32) -> Dataset:
    """Loads the digits 0 to 9, split 1,197 / 200 / 400 at random, disjoint by image.

    Each scan is upsampled bilinearly to three quarters of ``size`` and set in the middle of a
    black square, so that there is a background to tell from the object.

    Args:
        seed: Of the split.
        size: Height and width, a multiple of 8.

    Returns:
        ``Dataset`` with images ``[B, 3, size, size]``; the three channels are equal.

    Source: UCI Optical Recognition of Handwritten Digits, test part (Alpaydin, Kaynak, 1998).
    """
    if size < 8 or size % 8:
        raise ValueError(f"load_digits: size must be a multiple of 8, got {size}")
    need_sklearn("load_digits")
    from sklearn import datasets

    bunch = datasets.load_digits()
    small = torch.from_numpy(bunch.images).float()[:, None] / 16
    inner, border = size * 3 // 4, size // 8
    images = functional.interpolate(small, size=(inner, inner), mode="bilinear")
    images = functional.pad(images.clamp(0, 1), (border,) * 4)
    images = images.expand(-1, 3, -1, -1).contiguous()
    labels = torch.from_numpy(bunch.target).long()

    def part(rows: list[int]) -> Split:
        return Split(images[rows], labels[rows], tuple(f"digits/{row}" for row in rows))

    order = shuffled(len(labels), seed)
    return Dataset(
        name="digits",
        classes=tuple(str(digit) for digit in range(10)),
        train=part(order[:1197]),
        validation=part(order[1197:1397]),
        test=part(order[1397:]),
        source="scikit-learn load_digits: 1,797 handwritten digits, 8 x 8, upsampled on black",
    )
