"""sRGB to CIE Lab and back, with a gradient: lightness apart from colour."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

# linear sRGB to XYZ under the white point D65 (IEC 61966-2-1)
XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
WHITE = (0.95047, 1.0, 1.08883)
KNEE = 6 / 29  # below its cube the cube root is replaced by a line


def rgb_to_lab(images: Tensor) -> Tensor:
    """Converts sRGB images ``[B, 3, H, W]`` in [0, 1] to CIE Lab under D65.

    Returns:
        ``[B, 3, H, W]``: lightness L in [0, 100], and the colour axes a (green to red) and b
        (blue to yellow), about -110 to 110.

    Gradients: exact, finite everywhere.

    Source: CIE 15, 2004; IEC 61966-2-1, 1999.
    """
    linear = torch.where(
        images > 0.04045, ((images.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4, images / 12.92
    )
    xyz = _mix(_matrix(images.dtype, images.device), linear) / _white(images)
    root = torch.where(
        xyz > KNEE**3, xyz.clamp_min(KNEE**3) ** (1 / 3), xyz / (3 * KNEE**2) + 4 / 29
    )
    x, y, z = root.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Converts CIE Lab ``[B, 3, H, W]`` to sRGB; the inverse of ``rgb_to_lab``.

    A colour that no screen can show comes out below 0 or above 1: clip it, which changes its L.

    Gradients: exact, finite everywhere.
    """
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    root = torch.stack([y + a / 500, y, y - b / 200], 1)
    xyz = torch.where(root > KNEE, root**3, 3 * KNEE**2 * (root - 4 / 29)) * _white(lab)
    linear = _mix(_matrix(lab.dtype, lab.device, inverse=True), xyz)
    curved = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curved, 12.92 * linear)


def colour_difference(images: Tensor, other: Tensor) -> Tensor:
    """Measures how far apart two batches ``[B, 3, H, W]`` look, per image: ``[B]``.

    The mean over pixels of the Euclidean distance in Lab (CIE 1976), over 100: black against
    white is 1, a just noticeable difference about 0.02.
    """
    squared = (rgb_to_lab(images) - rgb_to_lab(other)).square().sum(1)
    # the tiny constant keeps the gradient finite where the images agree
    return (squared + 1e-12).sqrt().flatten(1).mean(1) / 100


def _mix(matrix: Tensor, channels: Tensor) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", matrix, channels)


def _white(like: Tensor) -> Tensor:
    return like.new_tensor(WHITE).view(1, 3, 1, 1)


@lru_cache(maxsize=8)
def _matrix(dtype: torch.dtype, device: torch.device, *, inverse: bool = False) -> Tensor:
    with torch.inference_mode(False):
        matrix = torch.tensor(XYZ_FROM_RGB, dtype=torch.float64)
        return (torch.linalg.inv(matrix) if inverse else matrix).to(device, dtype)
