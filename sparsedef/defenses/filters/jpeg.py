"""JPEG: what is left of an image after it was saved as a file and read back; differentiable."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from sparsedef.solvers.checks import check_choice, check_count

# Annex K of the standard, what every common encoder scales by its quality; rows by frequency
LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8 for _ in range(4)),
)
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
# Averages of 8-bit values lie on ties, k + 1/2, all the time; a tie must not be decided by the
# last bit of a sum, which changes with the batch: this near to one, round up (away from zero).
TIE = 1e-3

Round = Callable[[Tensor], Tensor]


def jpeg_round_trip(
    images: Tensor, *, quality: int = 75, subsample: bool = True, gradient: str = "cubic"
) -> Tensor:
    """Saves images as JPEG and reads them back, without the (lossless) entropy coding.

    8-bit RGB -> Y Cb Cr -> each plane's 8 x 8 blocks by the cosine transform -> coefficients
    rounded to multiples of the quality's table -> and all the way back, rounded to 8 bits on the
    way wherever a common decoder does.

    Args:
        images: ``[B, 3, H, W]`` in [0, 1]; any size, edges are repeated to whole blocks.
        quality: 1 to 100, of the usual scale: 50 takes the standard's tables as they are.
        subsample: Keep one Cb and Cr per 2 x 2 pixels (4:2:0), as encoders do by default.
        gradient: Of rounding a coefficient, at distance ``d`` from its multiple in units of the
            table's entry: ``"cubic"``, ``3 d^2``, or ``"straight"``, 1.

    Returns:
        Images ``[B, 3, H, W]`` of 8-bit values in [0, 1].

    Raises:
        ValueError: ``quality`` or ``gradient`` is out of range.

    Gradients: a surrogate. The exact one is zero almost everywhere. That of ``gradient`` for the
    coefficients, and for the roundings to 8 bits the identity.

    Source: ITU-T T.81, 1992; the cubic, Shin, Song, 2017.
    """
    check_choice("jpeg_round_trip", "gradient", gradient, ("cubic", "straight"))
    to_multiples = _cubic_backward if gradient == "cubic" else _straight_backward
    return _codec(images, quality, subsample, to_multiples, _to_levels)


def smooth_jpeg(images: Tensor, *, quality: int = 75, subsample: bool = True) -> Tensor:
    """Stands in for ``jpeg_round_trip`` with a function that is differentiable almost everywhere.

    Coefficients are "rounded" to ``round(c) + (c - round(c))^3``, values not to 8 bits at all.

    Args:
        images: ``[B, 3, H, W]`` in [0, 1].
        quality: As there.
        subsample: As there.

    Returns:
        Images ``[B, 3, H, W]`` in [0, 1].

    Gradients: exact.

    Source: Shin, Song, 2017.
    """
    return _codec(images, quality, subsample, _cubic, _as_it_is)


def quantisation_tables(quality: int) -> tuple[Tensor, Tensor]:
    """Tables for luma and chroma, ``[8, 8]`` int64 each, rows by vertical frequency.

    Raises:
        ValueError: ``quality`` is not in 1 to 100.
    """
    if check_count("jpeg", "quality", quality) > 100:
        raise ValueError(f"jpeg: quality must be at most 100, got {quality}")
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    luma, chroma = ((torch.tensor(t) * percent + 50) // 100 for t in (LUMA, CHROMA))
    return luma.clamp(1, 255), chroma.clamp(1, 255)


def _codec(
    images: Tensor,
    quality: int,
    subsample: bool,
    to_multiples: Round,
    to_levels: Callable[..., Tensor],
) -> Tensor:
    """Codes and decodes; the two roundings say how."""
    height, width = images.shape[-2:]
    luma_table, chroma_table = (table.to(images) for table in quantisation_tables(quality))
    middle = images.new_tensor([0.0, 128.0, 128.0])[:, None, None]
    planes = to_levels(_mix(to_levels(images * 255), TO_YCC) + middle)
    luma, chroma = planes[:, :1], planes[:, 1:]
    if subsample:
        chroma = functional.pad(chroma, (0, -width % 16, 0, height % 2), mode="replicate")
        # libjpeg's habit: in even columns a quarter below a tie still rounds down
        bias = 0.25 * (torch.arange(chroma.shape[-1] // 2, device=images.device) % 2 - 1)
        chroma = to_levels(functional.avg_pool2d(chroma, 2), bias.to(images))
    luma = to_levels(_through_blocks(luma, luma_table, to_multiples)).clamp(0, 255)
    chroma = to_levels(_through_blocks(chroma, chroma_table, to_multiples)).clamp(0, 255)
    if subsample:
        # weights 3/4 and 1/4 per direction: the triangle that decoders call "fancy"
        chroma = chroma[..., : (width + 1) // 2]
        chroma = to_levels(functional.interpolate(chroma, scale_factor=2, mode="bilinear"))
        chroma = chroma[..., :height, :width]
    rgb = to_levels(_mix(torch.cat([luma, chroma], 1) - middle, TO_RGB))
    return rgb.clamp(0, 255) / 255


def _mix(planes: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    return torch.einsum("bchw,dc->bdhw", planes, planes.new_tensor(matrix))


def _through_blocks(planes: Tensor, table: Tensor, to_multiples: Round) -> Tensor:
    """Rounds the cosine coefficients of each 8 x 8 block of ``[B, C, H, W]``."""
    batch, channels, height, width = planes.shape
    planes = functional.pad(planes, (0, -width % 8, 0, -height % 8), mode="replicate")
    rows, columns = planes.shape[-2] // 8, planes.shape[-1] // 8
    blocks = planes.reshape(batch, channels, rows, 8, columns, 8).transpose(3, 4)
    basis = _cosines().to(planes)
    coefficients = basis @ (blocks - 128) @ basis.T
    kept = to_multiples(coefficients / table) * table
    back = (basis.T @ kept @ basis + 128).transpose(3, 4)
    return back.reshape(batch, channels, 8 * rows, 8 * columns)[..., :height, :width]


def _cosines() -> Tensor:
    """Orthonormal cosine transform of length 8, ``[frequency, place]`` float64."""
    place = torch.arange(8, dtype=torch.float64)
    basis = torch.cos(math.pi / 8 * (place + 0.5) * place[:, None]) / 2
    basis[0] /= math.sqrt(2)
    return basis


def _to_levels(values: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    """Nearest whole number to ``values + bias``, ties up; differentiated as the identity."""
    return (values.detach() + bias + 0.5 + TIE).floor() + (values - values.detach())


def _as_it_is(values: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    return values


def _nearest(values: Tensor) -> Tensor:
    """Nearest whole number, ties away from zero; a constant."""
    values = values.detach()
    return (values.abs() + 0.5 + TIE).floor().copysign(values)


def _straight_backward(values: Tensor) -> Tensor:
    return _nearest(values) + (values - values.detach())


def _cubic(values: Tensor) -> Tensor:
    nearest = _nearest(values)
    return nearest + (values - nearest) ** 3


def _cubic_backward(values: Tensor) -> Tensor:
    nearest = _nearest(values)
    rest = (values - nearest) ** 3
    return nearest + (rest - rest.detach())
