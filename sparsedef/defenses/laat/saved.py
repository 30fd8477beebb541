"""Trained networks of LAAT on disk: the encoder, and the anchors of all classes by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sparsedef.defenses.laat.classifier import LAAT
from sparsedef.models.checkpoint import load_network


@dataclass(frozen=True)
class SavedLAAT:
    """What a file of ``sparsedef train laat`` holds.

    Args:
        model: With the anchors of the unseen classes, in evaluation mode.
        anchors: Of all classes, ``[C, M]``.
        classes: Their names.
        seen: Names of those that were trained on.
        unseen: Names of those that were not, and were not looked at either.
        about: All that is told about the network.
    """

    model: LAAT
    anchors: Tensor
    classes: tuple[str, ...]
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    about: dict[str, Any]

    def of(self, names: Sequence[str]) -> LAAT:
        """The network for some of its classes.

        Raises:
            ValueError: A name is none of them.
        """
        missing = [name for name in names if name not in self.classes]
        if missing:
            raise ValueError(
                f"SavedLAAT: names must be among its {len(self.classes)} classes, got "
                f"{missing[0]!r} (other classes: model.with_anchors(anchors))"
            )
        return self.model.with_anchors(self.anchors[[self.classes.index(n) for n in names]])


def anchors_about(
    anchors: Tensor, classes: Sequence[str], seen: Sequence[str], unseen: Sequence[str]
) -> dict[str, Any]:
    """The anchors as plain values, for ``save_network``."""
    return {
        "rows": anchors.tolist(), "classes": list(classes), "seen": list(seen),
        "unseen": list(unseen),
    }  # fmt: skip


def load_laat(path: str | os.PathLike[str], *, device: torch.device | str = "cpu") -> SavedLAAT:
    """Reads what ``sparsedef train laat`` wrote.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It holds something else.
    """
    saved = load_network(path, device=device)
    stored = saved.about.get("anchors")
    if stored is None:
        raise ValueError(
            f"load_laat: {os.fspath(path)!r} must hold a network with anchors, holds "
            f"{saved.name!r} (sparsedef train laat makes one)"
        )
    anchors = torch.tensor(stored["rows"], device=device)
    names = {key: tuple(stored[key]) for key in ("classes", "seen", "unseen")}
    rows = [names["classes"].index(name) for name in names["unseen"]]
    model = LAAT(saved.model, anchors[rows]).eval()
    return SavedLAAT(model, anchors, **names, about=saved.about)
