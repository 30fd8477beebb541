"""What a long piece of work depends on, kept beside its results: it goes on only as it began."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from sparsedef.version import __version__
from sparsedef.whole_file import whole_file

Plan = dict[str, Any]


def made_by(backend: str) -> str:
    """Which software computes here; results are stamped with it."""
    return f"sparsedef {__version__}, torch {torch.__version__}, {backend}"


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes plain values as a text that depends on nothing else."""
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    with whole_file(path) as draft:
        draft.write_bytes(text.encode())


def digest(plan: Plan) -> str:
    """Names a plan by 16 hexadecimal digits."""
    text = json.dumps(plan, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_json(path: Path, way_out: str) -> dict[str, Any] | None:
    """Reads what :func:`write_json` wrote; ``None`` where there is no file.

    Raises:
        ValueError: It cannot be read.
    """
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}). {way_out}") from error
    return content


def check_same(plan: Plan, before: Plan, where: object, way_out: str) -> None:
    """Demands that the work found at ``where`` was begun by this very plan.

    Raises:
        ValueError: Another plan was ``before``; the message has the first differences.
    """
    changes = list(_differences(before, json.loads(json.dumps(plan))))
    if changes:
        more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
        raise ValueError(f"{where} was begun otherwise: {'; '.join(changes[:3])}{more}. {way_out}")


def _differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            inner = f"{name} {key}".strip()
            yield from _differences(before.get(key), now.get(key), inner)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for i, (old, new) in enumerate(zip(before, now, strict=True), start=1):
            yield from _differences(old, new, f"{name} {i}")
    elif isinstance(before, list) and isinstance(now, list):
        yield f"{len(now)} {name} in place of {len(before)}"
    elif before != now:
        yield f"{name} was {before}, is {now}"
