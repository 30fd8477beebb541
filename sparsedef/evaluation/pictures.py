"""Images as PNG inside the page."""

from __future__ import annotations

import base64
import io

import torch
from torch import Tensor
from torch.nn import functional


def png_uri(image: Tensor) -> str:
    """Encodes one image ``[3, H, W]`` in [0, 1] as a ``data:`` address of a PNG.

    Raises:
        ImportError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("png_uri: Pillow is not installed (pip install pillow)") from error
    pixels = (image.detach().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels.cpu().numpy()).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def difference(first: Tensor, second: Tensor, gain: float) -> Tensor:
    """Shows ``second - first`` of ``[3, H, W]`` amplified by ``gain`` around mid grey."""
    return (0.5 + gain * (second - first)).clamp(0, 1)


def mosaic(atoms: Tensor, columns: int) -> Tensor:
    """Lays patches ``[N, 3, b, b]`` out in rows, each stretched to full range, ``[3, ., .]``."""
    flat = atoms.flatten(1)
    low, high = flat.amin(1), flat.amax(1)
    spread = (high - low).clamp_min(1e-12)
    tiles = (atoms - low[:, None, None, None]) / spread[:, None, None, None]
    missing = -len(tiles) % columns
    tiles = functional.pad(tiles, (0, 1, 0, 1, 0, 0, 0, missing), value=0.5)
    side = tiles.shape[-1]
    grid = tiles.view(-1, columns, 3, side, side).permute(2, 0, 3, 1, 4)
    return grid.reshape(3, -1, columns * side)[:, :-1, :-1]
