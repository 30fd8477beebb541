"""Who is evaluated: classifiers and defenses under names, and a digest of all that they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from sparsedef.data import Split
from sparsedef.defenses import Purifier

NONE = "none"
PLAIN = (bool, int, float, str, bytes, type(None))


@dataclass(frozen=True)
class Contender:
    """One classifier with its defense, or without.

    Args:
        model: Images ``[B, 3, H, W]`` in [0, 1] to logits: a ``Defense``, or any module.
        bare: Name of the contender that is the same classifier without the defense: attacks made
            on that one are gray-box here. ``None``: this one has nothing to take off.
    """

    model: nn.Module
    bare: str | None = NONE

    @property
    def is_random(self) -> bool:
        """Whether the same image may get different logits."""
        return bool(getattr(self.model, "is_random", False))

    @property
    def has_exact_gradient(self) -> bool:
        """Whether autograd through the model gives its own derivative."""
        return bool(getattr(self.model, "has_exact_gradient", True))

    @property
    def stand_in_names(self) -> tuple[str, ...]:
        """What an attack may differentiate besides the model, by names."""
        return tuple(getattr(self.model, "stand_in_names", ()))

    @property
    def purifier(self) -> Purifier | None:
        """The model, if it cleans the image and then classifies it."""
        return self.model if isinstance(self.model, Purifier) else None


@dataclass(frozen=True)
class Task:
    """What is evaluated on what.

    Args:
        name: Data set.
        test: Images that are attacked.
        classes: Their names.
        contenders: By name; ``"none"`` is the classifier without a defense.
        source: Where the images come from, in a sentence.
        facts: What a reader should know of it: names and values.

    Raises:
        ValueError: There is no image, or a contender's ``bare`` is none of them.
    """

    name: str
    test: Split
    classes: tuple[str, ...]
    contenders: Mapping[str, Contender]
    source: str = ""
    facts: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Demands contenders that fit together; see the class."""
        if len(self.test) == 0 or NONE not in self.contenders:
            raise ValueError(
                f"Task: {self.name} must have images and a contender {NONE!r}, got "
                f"{len(self.test)} images and {sorted(self.contenders)}"
            )
        for name, contender in self.contenders.items():
            if contender.bare is None:
                continue
            if name == NONE or contender.bare not in self.contenders:
                raise ValueError(
                    f"Task: bare of {name} must name another contender of "
                    f"{sorted(self.contenders)}, got {contender.bare!r}"
                )

    def bares(self) -> list[str]:
        """Names of the contenders without a defense, whose attacked images others are shown."""
        return [name for name, contender in self.contenders.items() if contender.bare is None]

    def defended(self) -> list[str]:
        """Names of all contenders but ``"none"``."""
        return [name for name in self.contenders if name != NONE]

    @cached_property
    def mean_norm(self) -> float:
        """Mean L2 norm of the test images, the unit of L2 strengths."""
        return float(self.test.images.flatten(1).double().norm(dim=1).mean())


def fingerprint(*parts: object) -> str:
    """Hashes modules, tensors and plain values to 16 hexadecimal digits.

    Of a module: its class, its state, and the plain values among its attributes, those of its
    submodules too. What a class computes is not hashed: a cache must depend on the sources as well.
    """
    hashed = hashlib.sha256()
    for part in parts:
        _add(hashed, part)
    return hashed.hexdigest()[:16]


def _add(hashed: Any, part: object) -> None:
    hashed.update(type(part).__qualname__.encode() + b"\0")
    if isinstance(part, nn.Module):
        for name, module in part.named_modules():
            hashed.update(f"{name}:{type(module).__qualname__}\0".encode())
            for key, value in sorted(vars(module).items()):
                # `training` says nothing: attacks and scoring put modules in evaluation mode
                if not key.startswith("_") and key != "training":
                    _add(hashed, (key, value if _is_plain(value) else type(value).__qualname__))
        for name, value in part.state_dict().items():
            _add(hashed, (name, value))
    elif isinstance(part, Tensor):
        hashed.update(f"{part.dtype}{list(part.shape)}".encode())
        hashed.update(part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
                      if part.numel() else b"")  # fmt: skip
    elif isinstance(part, Mapping):
        for key in sorted(part):
            _add(hashed, (key, part[key]))
    elif isinstance(part, tuple | list):
        for each in part:
            _add(hashed, each)
    else:
        hashed.update(repr(part).encode() + b"\0")


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_plain(each) for each in value)
    if isinstance(value, Mapping):
        return all(_is_plain(each) for each in value.values())
    return isinstance(value, PLAIN) or is_dataclass(value)
