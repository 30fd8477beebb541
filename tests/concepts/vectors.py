"""An encoder that looks texts up: tests choose the geometry."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor


def encoder(vectors: Mapping[str, Sequence[float]]) -> Callable[[Sequence[str]], Tensor]:
    return lambda texts: torch.tensor([list(vectors[text]) for text in texts])


def at_angle(degrees: float, length: float = 1.0) -> tuple[float, float]:
    turned = math.radians(degrees)
    return length * math.cos(turned), length * math.sin(turned)
