"""Picture files to square images: short side resized, centre cut out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".webp")


def need_pillow(who: str) -> None:
    """Raises with the way out when Pillow, which reads pictures, is absent."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{who}: pictures are read by Pillow, which is not installed (pip install pillow)"
        ) from error


def square(picture: Image.Image, size: int, short_side: int | None = None) -> Image.Image:
    """Resizes the short side to ``short_side`` and cuts ``size`` x ``size`` out of the middle.

    Bicubic with a filter that widens as the picture shrinks (antialiased), as Pillow does it.

    Args:
        picture: RGB.
        size: Height and width of the result.
        short_side: At least ``size``; ``None`` for ``size``, so that as much as possible is kept.
    """
    from PIL import Image

    short_side = short_side or size
    width, height = picture.size
    scale = short_side / min(width, height)
    width, height = (max(short_side, round(side * scale)) for side in (width, height))
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return picture.crop((left, top, left + size, top + size))


def to_image(picture: Image.Image) -> Tensor:
    """Makes an RGB picture an image ``[3, H, W]`` float32 in [0, 1]."""
    pixels = torch.from_numpy(np.array(picture))
    return pixels.permute(2, 0, 1).float() / 255


def read_pictures(
    who: str,
    paths: Sequence[Path],
    size: int,
    *,
    short_side: int | None = None,
    exact: bool = False,
) -> Tensor:
    """Reads pictures, whatever their sizes, as one batch ``[B, 3, size, size]`` in [0, 1].

    Grey and palette pictures become RGB; transparency is dropped.

    Args:
        who: The caller, for messages.
        paths: Files.
        size: Height and width of the result.
        short_side: See :func:`square`.
        exact: The pictures must be ``size`` x ``size`` already.

    Raises:
        ValueError: A file is no picture, is cut off, has more than 8 bits a channel, or, with
            ``exact``, has another size.
    """
    images = torch.empty(len(paths), 3, size, size)
    for row, path in enumerate(
        tqdm(paths, desc=f"{who}: reading", disable=None, leave=False, delay=3.0)
    ):
        picture = _open_rgb(who, path)
        if exact and picture.size != (size, size):
            raise ValueError(
                f"{who}: pictures of different sizes, {size} x {size} and "
                f"{picture.width} x {picture.height} in {path} (pass size)"
            )
        images[row] = to_image(square(picture, size, short_side))
    return images


def own_size(who: str, path: Path) -> int:
    """The height and width of a square picture file.

    Raises:
        ValueError: It is not square, so that a size must be chosen.
    """
    width, height = _open_rgb(who, path).size
    if width != height:
        raise ValueError(f"{who}: {path} is {width} x {height}, not square (pass size)")
    return width


def is_picture(path: Path) -> bool:
    """Whether a file's name is that of a picture, and not of a hidden one."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _open_rgb(who: str, path: Path) -> Image.Image:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            if picture.mode.startswith(("I", "F")):
                raise ValueError(
                    f"{who}: {path} has more than 8 bits a channel (mode {picture.mode!r}), "
                    f"convert it first"
                )
            return picture.convert("RGB")
    except (OSError, SyntaxError) as error:  # Pillow raises both on a broken PNG
        raise ValueError(f"{who}: {path} cannot be read as a picture: {error}") from error
