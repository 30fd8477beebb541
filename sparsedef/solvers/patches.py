"""Images to overlapping patches and back."""

from __future__ import annotations

from torch import Tensor

from sparsedef.backends.patch_pipeline import Grid
from sparsedef.solvers.checks import check_count, check_tensor


def extract_patches(images: Tensor, size: int, stride: int = 1) -> Tensor:
    """Cuts images into overlapping square patches that cover every pixel.

    Patches start every ``stride`` pixels; where the last one would leave a margin, one more row
    or column of patches is added flush with the edge. Patches run row by row.

    Args:
        images: ``[B, C, H, W]``.
        size: Side b of a patch in pixels, at most min(H, W).
        stride: Pixels between the starts of neighbours, at most ``size`` (else pixels are missed).

    Returns:
        Patches ``[B, P, C * size * size]``, channel by channel, each row by row.

    Raises:
        TypeError: ``images`` is no floating-point tensor.
        ValueError: A rank or range is wrong.

    Gradients: exact for ``images``.

    Example:
        >>> import sparsedef, torch
        >>> sparsedef.extract_patches(torch.zeros(1, 1, 5, 6), size=3, stride=2).shape
        torch.Size([1, 6, 9])
    """
    images = check_tensor("extract_patches", "images", images)
    if images.ndim != 4:
        raise ValueError(f"extract_patches: images must be [B, C, H, W], got {list(images.shape)}")
    height, width = images.shape[2:]
    check_window("extract_patches", (height, width), size, stride)
    return Grid(height, width, size, stride).cut(images)


def merge_patches(
    patches: Tensor, image_size: tuple[int, int], size: int, stride: int = 1
) -> Tensor:
    """Lays patches back into images; pixels under several patches get their mean.

    The inverse of :func:`extract_patches` with the same ``size`` and ``stride``.

    Args:
        patches: ``[B, P, C * size * size]``.
        image_size: ``(H, W)`` of the images.
        size: Side of a patch in pixels.
        stride: Pixels between the starts of neighbours.

    Returns:
        Images ``[B, C, H, W]``.

    Raises:
        TypeError: ``patches`` is no floating-point tensor.
        ValueError: A rank or range is wrong, or the number of patches does not fit the image.

    Gradients: exact for ``patches``.

    Example:
        >>> import sparsedef, torch
        >>> image = torch.arange(30.0).view(1, 1, 5, 6)
        >>> patches = sparsedef.extract_patches(image, size=3, stride=2)
        >>> merged = sparsedef.merge_patches(patches, (5, 6), size=3, stride=2)
        >>> torch.equal(merged, image)
        True
    """
    patches = check_tensor("merge_patches", "patches", patches)
    check_window("merge_patches", image_size, size, stride)
    grid = Grid(*image_size, size, stride)
    if patches.ndim != 3 or patches.shape[1] != grid.n_patches or patches.shape[2] % size**2:
        raise ValueError(
            f"merge_patches: patches must be [B, {grid.n_patches}, C * {size**2}] for"
            f" {grid.height} x {grid.width} images, size {size}, stride {stride}, got"
            f" {list(patches.shape)}"
        )
    return grid.add_up(patches) / grid.count(patches)


def check_window(who: str, image_size: tuple[int, int], size: int, stride: int) -> None:
    """Demands a patch that fits the image and a stride that misses no pixel."""
    check_count(who, "size", size)
    check_count(who, "stride", stride)
    if size > min(image_size):
        raise ValueError(
            f"{who}: size must be at most the image's side {min(image_size)}, got {size}"
        )
    if stride > size:
        raise ValueError(f"{who}: stride must be at most size={size}, got {stride} (pixels missed)")
