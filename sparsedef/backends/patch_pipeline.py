"""Patches of images: how they are cut, standardised, coded by any pursuit, and laid back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import fold, unfold

from sparsedef.backends.base import Status

STD_FLOOR = 1e-2
_COPIES = 6  # of the patches, at once: cut, standard, coded, residual, rebuilt, and one in passing
_SHARE = 1 << 28  # bytes of patches at once on a CPU, four times as many on a GPU

Coded = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
Pursuit = Callable[[Tensor, Tensor, Tensor, Tensor | None, int, str, bool, int], Coded]


@dataclass(frozen=True)
class Grid:
    """Where the patches of an image lie: every ``stride`` pixels, the last flush with the edge."""

    height: int
    width: int
    size: int
    stride: int

    @classmethod
    def of(cls, images: Tensor, dictionary: Tensor, stride: int) -> Grid:
        """The grid of square patches that match the dictionary."""
        n_channels, height, width = images.shape[1:]
        return cls(height, width, patch_size(dictionary, n_channels), stride)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self._n_starts(self.height), self._n_starts(self.width)

    @property
    def n_patches(self) -> int:
        """P."""
        n_rows, n_columns = self.shape
        return n_rows * n_columns

    def cut(self, images: Tensor) -> Tensor:
        """Cuts images ``[B, C, H, W]`` into patches ``[B, P, C * size * size]``."""
        if self._is_even:
            return unfold(images, self.size, stride=self.stride).mT
        # [B, C, n_rows, size, n_columns, size] -> [B, n_rows * n_columns, C * size * size]
        rows, columns = self._pixels(self.height), self._pixels(self.width)
        windows = images[:, :, rows][..., columns].movedim((2, 4), (1, 2))
        return windows.flatten(3).flatten(1, 2)

    def add_up(self, patches: Tensor) -> Tensor:
        """Adds patches ``[B, P, C * size * size]`` up where they lie; the adjoint of ``cut``."""
        size = self.size
        if self._is_even:
            return fold(patches.mT, (self.height, self.width), size, stride=self.stride)
        n_channels = patches.shape[2] // size**2
        windows = patches.unflatten(2, (n_channels, size, size)).unflatten(1, self.shape)
        windows = windows.movedim((1, 2), (2, 4))  # [B, C, n_rows, size, n_columns, size]
        rows, columns = self._pixels(self.height), self._pixels(self.width)
        place = (rows[:, :, None, None] * self.width + columns).flatten().to(patches.device)
        images = patches.new_zeros(patches.shape[0], n_channels, self.height * self.width)
        images = images.index_add(2, place, windows.flatten(2))
        return images.unflatten(2, (self.height, self.width))

    def count(self, like: Tensor) -> Tensor:
        """Counts the patches over each pixel, ``[H, W]``, in the dtype and device of ``like``."""
        over_rows, over_columns = (
            torch.bincount(self._pixels(length).flatten(), minlength=length)
            for length in (self.height, self.width)
        )
        return torch.outer(over_rows, over_columns).to(like)

    def covers(self, mask: Tensor) -> Tensor:
        """Says which patches hold a pixel of ``mask`` ``[B, H, W]``, ``[B, P]``."""
        by_rows = mask[:, self._pixels(self.height)].any(dim=2)
        return by_rows[..., self._pixels(self.width)].any(dim=3).flatten(1)

    @property
    def _is_even(self) -> bool:
        return all((n - self.size) % self.stride == 0 for n in (self.height, self.width))

    def _n_starts(self, length: int) -> int:
        return (length - self.size + self.stride - 1) // self.stride + 1

    def _pixels(self, length: int) -> Tensor:
        """The pixels under each patch along one side, ``[n_starts, size]``."""
        starts = torch.arange(self._n_starts(length)) * self.stride
        return starts.clamp_max(length - self.size)[:, None] + torch.arange(self.size)


def patch_size(dictionary: Tensor, n_channels: int) -> int:
    """The side of the square patches that atoms ``[N, C * size * size]`` stand for."""
    size = 1  # math.isqrt cannot be traced with symbolic sizes
    while n_channels * (size + 1) ** 2 <= dictionary.shape[1]:
        size += 1
    return size


def standardize_patches(
    patches: Tensor, how: str, is_coded: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gives standardised patches with the shift and scale that undo it; all differentiable.

    Args:
        patches: ``[B, P, M]``.
        how: One of ``"none"``, ``"mean"``, ``"zscore"``; see :func:`sparsedef.patch_omp`.
        is_coded: The patches that z-scores are about, ``[B, P]``; ``None``: all.

    Returns:
        Standard patches, shift and scale with ``standard * scale + shift == patches``.
    """
    if how == "none":
        return patches, patches.new_zeros(()), patches.new_ones(())
    if how == "mean":
        shift = patches.mean(dim=2, keepdim=True)
        return patches - shift, shift, patches.new_ones(())
    shift = _mean(patches, is_coded)
    # The floor is under the root, so that the gradient stays finite on flat images.
    spread = _mean((patches - shift).square(), is_coded)
    scale = spread.clamp_min(STD_FLOOR**2).sqrt()
    return (patches - shift) / scale, shift, scale


def _mean(patches: Tensor, is_coded: Tensor | None) -> Tensor:
    if is_coded is None:
        return patches.mean(dim=1, keepdim=True)
    total = patches.where(is_coded[:, :, None], 0).sum(dim=1, keepdim=True)
    return total / is_coded.sum(dim=1).clamp_min(1)[:, None, None]


def images_at_once(images: Tensor, grid: Grid, max_memory: int) -> int:
    """How many images may lie in patches at once; ``max_memory`` in bytes, 0 for the usual.

    Raises:
        ValueError: Not even one may.
    """
    n_features = images.shape[1] * grid.size**2
    one = _COPIES * grid.n_patches * n_features * images.element_size()
    usual = _SHARE * (4 if images.device.type == "cuda" else 1)
    if 0 < max_memory < one:
        raise ValueError(
            f"patch_omp: max_memory must be at least {2 * one} bytes for one image"
            f" {list(images.shape[1:])}, got {2 * max_memory}"
        )
    return max(1, (max_memory or usual) // one)


def code_patches(
    pursue: Pursuit,
    images: Tensor,
    dictionary: Tensor,
    tol: float,
    mask: Tensor | None,
    n_nonzero: int,
    stride: int,
    standardize: str,
    selection: str,
    max_memory: int,
) -> Coded:
    """Rebuilds images by a backend's own ``omp``, a few whole images at a time.

    Half of ``max_memory`` is for patches, half for the pursuit. With a mask this waits for the
    device, to learn how many patches it holds.

    Returns:
        indices ``[B, P, K]``, values, images ``[B, C, H, W]``, n_iter ``[B, P]``, status.
    """
    grid = Grid.of(images, dictionary, stride)
    most = images_at_once(images, grid, max_memory // 2)
    shape = (len(images), grid.n_patches)
    indices = images.new_full((*shape, n_nonzero), -1, dtype=torch.int64)
    values = images.new_zeros((*shape, n_nonzero))
    rebuilt = torch.empty_like(images, memory_format=torch.contiguous_format)
    n_iter = images.new_zeros(shape, dtype=torch.int32)
    status = images.new_full(shape, int(Status.CONVERGED), dtype=torch.int32)
    for start in range(0, len(images), most):
        part = slice(start, start + most)
        patches = grid.cut(images[part])
        is_coded = None if mask is None else grid.covers(mask[part])
        standard, shift, scale = standardize_patches(patches, standardize, is_coded)
        chosen = slice(None) if is_coded is None else is_coded.flatten()
        signals = standard.flatten(0, 1)[chosen]
        tols = signals.new_full((len(signals),), tol)
        found = pursue(
            signals, dictionary, tols, None, n_nonzero, selection, False, max_memory // 2
        )
        indices[part].flatten(0, 1)[chosen] = found[0]
        values[part].flatten(0, 1)[chosen] = found[1]
        n_iter[part].flatten()[chosen] = found[3]
        status[part].flatten()[chosen] = found[4]
        coded = torch.zeros_like(patches, memory_format=torch.contiguous_format)
        coded.flatten(0, 1)[chosen] = signals - found[2]
        coded = coded * scale + shift
        if is_coded is not None:
            coded = coded.where(is_coded[:, :, None], 0)
        merged = grid.add_up(coded) / grid.count(coded)
        if mask is not None:
            merged = merged.where(mask[part, None], images[part])
        rebuilt[part] = merged
    return indices, values, rebuilt, n_iter, status
