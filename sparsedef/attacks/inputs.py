"""Checks of what an attack is given, before any work."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Norm: TypeAlias = Literal["linf", "l2"]


def check_images(who: str, images: Tensor) -> None:
    """Raises unless ``images`` is a float batch ``[B, C, H, W]`` with values in [0, 1]."""
    if not isinstance(images, Tensor):
        raise TypeError(f"{who}: images must be a torch.Tensor, got {type(images).__name__}")
    if images.dtype not in (torch.float32, torch.float64):
        hint = " (pass images.float() / 255)" if images.dtype == torch.uint8 else ""
        raise TypeError(f"{who}: images must be float32 or float64, got {images.dtype}{hint}")
    if images.dim() != 4:
        hint = " (one image? pass images[None])" if images.dim() == 3 else ""
        raise ValueError(f"{who}: images must be [B, C, H, W], got {list(images.shape)}{hint}")
    if images.numel() == 0:
        return
    low, high = images.min().item(), images.max().item()
    if math.isnan(low) or math.isnan(high):
        raise ValueError(f"{who}: images must be finite, got NaN")
    if low < 0 or high > 1:
        hint = " (pass images / 255)" if low >= 0 and 2 < high <= 255 else ""
        hint = hint or " (attacks act on pixels: normalise inside the model)"
        raise ValueError(f"{who}: images must lie in [0, 1], got [{low:.4g}, {high:.4g}]{hint}")


def check_labels(who: str, labels: Tensor, images: Tensor) -> None:
    """Raises unless ``labels`` is int64 ``[B]``, not negative, and where ``images`` is."""
    if not isinstance(labels, Tensor):
        raise TypeError(f"{who}: labels must be a torch.Tensor, got {type(labels).__name__}")
    if labels.dtype != torch.int64:
        raise TypeError(f"{who}: labels must be int64, got {labels.dtype} (pass labels.long())")
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"{who}: labels must be [{images.shape[0]}] to match images {list(images.shape)}, "
            f"got {list(labels.shape)}"
        )
    if labels.device != images.device:
        raise ValueError(
            f"{who}: labels must be on {images.device} like the images, got {labels.device}"
        )
    if labels.numel() and int(labels.min()) < 0:
        raise ValueError(f"{who}: labels must be >= 0, got {int(labels.min())}")


def check_logits(who: str, logits: Tensor, labels: Tensor) -> None:
    """Raises unless ``logits`` is ``[B, classes]`` with a class for every label."""
    if logits.dim() != 2 or logits.shape[0] != labels.shape[0]:
        raise ValueError(
            f"{who}: the model must return logits [{labels.shape[0]}, classes], "
            f"got {list(logits.shape)}"
        )
    if logits.shape[1] < 2:
        raise ValueError(f"{who}: the model must return at least 2 classes, got {logits.shape[1]}")
    if int(labels.max()) >= logits.shape[1]:
        raise ValueError(
            f"{who}: labels must be < {logits.shape[1]}, the number of classes that the model "
            f"returns, got {int(labels.max())}"
        )


def check_eps(who: str, eps: float, norm: Norm) -> float:
    """Returns ``eps`` as a float; raises unless it is a radius of ``norm`` in pixel units."""
    if isinstance(eps, bool) or not isinstance(eps, (int, float)):
        raise TypeError(f"{who}: eps must be a number, got {type(eps).__name__}")
    if not math.isfinite(eps) or eps < 0:
        raise ValueError(f"{who}: eps must be finite and >= 0, got {eps}")
    if norm == "linf" and eps > 1:
        raise ValueError(
            f"{who}: eps must be <= 1 for linf, the whole pixel range, got {eps} "
            f"(images are in [0, 1]: pass {eps:g} / 255)"
        )
    return float(eps)


def check_positive(who: str, name: str, value: float) -> float:
    """Returns ``value`` as a float; raises unless it is finite and above zero."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{who}: {name} must be a number, got {type(value).__name__}")
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{who}: {name} must be finite and > 0, got {value}")
    return float(value)
