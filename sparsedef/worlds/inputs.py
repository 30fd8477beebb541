"""Checks of scenes, before any work."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.solvers.checks import check_count
from sparsedef.worlds.classes import CLASSES
from sparsedef.worlds.parameters import PARAMETERS

SMALLEST = 16  # pixels: below it nothing of a shape is left


def check_parameters(who: str, parameters: Tensor, *, name: str = "parameters") -> None:
    """Raises unless ``parameters`` is a float batch ``[B, P]`` in [0, 1].

    Reads the smallest and the largest value, for which it waits for the device.
    """
    check_columns(who, parameters, name=name)
    if parameters.numel() == 0:
        return
    low, high = (bound.item() for bound in torch.aminmax(parameters.detach()))
    # false for NaN
    if not (low >= 0 and high <= 1):
        raise ValueError(f"{who}: {name} must lie in [0, 1], got [{low:.4g}, {high:.4g}]")


def check_columns(who: str, parameters: Tensor, *, name: str = "parameters") -> None:
    """Raises unless ``parameters`` is a float batch ``[B, P]``, whatever its values."""
    if not isinstance(parameters, Tensor):
        raise TypeError(f"{who}: {name} must be a torch.Tensor, got {type(parameters).__name__}")
    if parameters.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{who}: {name} must be float32 or float64, got {parameters.dtype}")
    if parameters.ndim != 2 or parameters.shape[1] != len(PARAMETERS):
        hint = " (one scene? pass parameters[None])" if parameters.ndim == 1 else ""
        raise ValueError(
            f"{who}: {name} must be [B, {len(PARAMETERS)}], got {list(parameters.shape)}{hint}"
        )


def check_scenes(who: str, parameters: Tensor, classes: Tensor, seeds: Tensor | None) -> None:
    """Raises unless parameters, classes and seeds (where not ``None``) make a batch of scenes."""
    check_parameters(who, parameters)
    for name, each in (("classes", classes), ("seeds", seeds)):
        if each is None:
            continue
        if not isinstance(each, Tensor) or each.dtype != torch.int64:
            got = each.dtype if isinstance(each, Tensor) else type(each).__name__
            raise TypeError(f"{who}: {name} must be an int64 tensor, got {got}")
        if each.shape != parameters.shape[:1] or each.device != parameters.device:
            raise ValueError(
                f"{who}: {name} must be [{len(parameters)}] on {parameters.device} to match"
                f" parameters, got {list(each.shape)} on {each.device}"
            )
    if classes.numel() == 0:
        return
    low, high = (int(bound) for bound in torch.aminmax(classes))
    if low < 0 or high >= len(CLASSES):
        raise ValueError(f"{who}: classes must be 0 to {len(CLASSES) - 1}, got {low} to {high}")
    if seeds is not None and int(seeds.min()) < 0:
        raise ValueError(f"{who}: seeds must be >= 0, got {int(seeds.min())}")


def check_size(who: str, size: object) -> int:
    """Demands an image of at least ``SMALLEST`` pixels a side."""
    return check_count(who, "size", size, SMALLEST)
