"""Learners on disk: all or nothing, the same bytes for the same state, and no code when read."""

from __future__ import annotations

import hashlib
import io
import os
from typing import Any

import torch
from torch import Tensor

from sparsedef.learning.ranks import Ranks
from sparsedef.whole_file import whole_file

State = dict[str, Any]
_SAMPLED = 16  # rows in the fingerprint of data


def write(path: str | os.PathLike[str], state: State) -> None:
    """Writes to a new file beside ``path`` first, so that a stop leaves the old one whole."""
    kept = io.BytesIO()  # torch puts the name of a file that it opens itself into its bytes
    torch.save(state, kept)
    with whole_file(path) as draft:
        draft.write_bytes(kept.getvalue())


def read(path: str | os.PathLike[str], device: torch.device | str | None = None) -> State:
    """Reads what ``write`` wrote, tensors and plain values only."""
    state = torch.load(path, map_location=device, weights_only=True)
    assert isinstance(state, dict)
    return state


def fingerprint(x: Tensor, ranks: Ranks) -> list[int]:
    """By which the data of all ranks is known again: a digest of each one's shape and some rows."""
    places = torch.linspace(0, max(len(x) - 1, 0), min(len(x), _SAMPLED)).long()
    rows = x.index_select(0, places.to(x.device)).cpu().contiguous()
    about = f"{list(x.shape)} {x.dtype}".encode()
    digest = hashlib.sha256(about + rows.numpy().tobytes()).digest()
    number = int.from_bytes(digest[:7], "big")
    found: list[int] = ranks.gather(torch.tensor([number], device=x.device)).tolist()
    return found
