"""A training on disk: all that it needs to go on to the same bits, and what it must go on with."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sparsedef.learning.checkpoint import write
from sparsedef.learning.ranks import Ranks
from sparsedef.training.step import Source
from sparsedef.whole_file import remove_leftovers

State = dict[str, Any]
FORMAT = "sparsedef.training"
_SAMPLED = 16  # samples in the digest of the data


def plan_of(
    settings: Mapping[str, Any], model: nn.Module, source: Source, ranks: Ranks
) -> dict[str, Any]:
    """Lists what the weights depend on: settings, digests of the start and of some samples.

    Raises:
        TypeError: A setting is not a plain value.
        ValueError: The ranks do not agree.
    """
    plan = {
        **settings,
        "samples": len(source),
        "data": sample_digest(source),
        "start": digest(model.state_dict().values()),
    }
    try:
        text = json.dumps(plan, sort_keys=True)
    except TypeError as error:
        raise TypeError(f"train: settings must be plain values: {error}") from error
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
    if len(set(ranks.gather(torch.tensor([number])).tolist())) > 1:
        raise ValueError(
            "train: all ranks must train the same model with the same settings on the same data"
        )
    plan = json.loads(text)
    return plan


def sample_digest(source: Source) -> str:
    """Names data by some of its samples, spread over all of it."""
    rows = torch.linspace(0, max(len(source) - 1, 0), min(len(source), _SAMPLED)).long()
    return digest(source.batch(rows))


def digest(tensors: Iterable[Tensor]) -> str:
    """Names tensors by 16 hexadecimal digits: their shapes, dtypes and values."""
    hashed = hashlib.sha256()
    for tensor in tensors:
        hashed.update(f"{list(tensor.shape)} {tensor.dtype}".encode())
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        hashed.update(plain.view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()[:16]


def write_state(path: str | os.PathLike[str], plan: dict[str, Any], state: State) -> None:
    """Writes a training's state whole; what a killed run left half-written goes."""
    write(path, {"format": FORMAT, "plan": json.dumps(plan, sort_keys=True), **state})
    remove_leftovers(Path(path).parent, Path(path).name)


def read_state(
    path: str | os.PathLike[str] | None, plan: dict[str, Any], ranks: Ranks
) -> State | None:
    """Reads what rank 0 finds at ``path``, on all ranks; ``None`` where there is nothing.

    Raises:
        ValueError: It is not a training's state, or one with other settings.
    """
    found = b""
    if path is not None and ranks.rank == 0 and Path(path).exists():
        found = b"!" + Path(path).read_bytes()  # a file, if an empty one
    nothing = torch.empty(0, dtype=torch.uint8)
    own = torch.frombuffer(bytearray(found), dtype=torch.uint8) if found else nothing
    shared = ranks.gather(own)
    if len(shared) == 0:
        return None
    way_out = "give another checkpoint, or the settings of before, or delete the file"
    foreign = f"train: {path} is not the state of a training ({way_out})"
    content = io.BytesIO(shared[1:].numpy().tobytes())
    if not zipfile.is_zipfile(content):
        raise ValueError(foreign)
    content.seek(0)
    try:
        state = torch.load(content, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise ValueError(foreign) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(foreign)
    before = json.loads(state["plan"])
    changes = [
        f"{name} was {before.get(name)}, is {plan.get(name)}"
        for name in sorted(before.keys() | plan.keys())
        if before.get(name) != plan.get(name)
    ]
    if changes:
        more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
        raise ValueError(
            f"train: {path} was begun otherwise: {'; '.join(changes[:3])}{more} ({way_out})"
        )
    return state
