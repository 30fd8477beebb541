"""Features of class names, from any text encoder or a stored array."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

TEMPLATE = "This is a photo of a {}"  # of the published code
SHAPEWORLD = Path(__file__).parent / "shapeworld_texts.json"


class TextEncoder(Protocol):
    """What embeds texts: ``sparsedef.clip.ClipEncoder``, or anything of your own."""

    def text(self, texts: Sequence[str]) -> Tensor:
        """Embeds texts: ``[n, M]``."""


@dataclass(frozen=True)
class ClassTexts:
    """Features of texts, one row per name.

    Args:
        names: Of the classes, or of concepts.
        features: ``[n, M]``, of any norms.
        source: Where they come from, for reports.

    Raises:
        ValueError: The numbers of names and rows differ, or a name comes twice.
    """

    names: tuple[str, ...]
    features: Tensor
    source: str

    def __post_init__(self) -> None:
        """Checks the parts; see the class."""
        if self.features.ndim != 2 or len(self.features) != len(self.names):
            raise ValueError(
                f"ClassTexts: features must be [{len(self.names)}, M], a row for each name, got "
                f"{list(self.features.shape)}"
            )
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise ValueError(f"ClassTexts: names must differ, got {twice!r} twice")

    def of(self, names: Sequence[str]) -> Tensor:
        """Picks the features of some names, ``[len(names), M]``, in their order.

        Raises:
            ValueError: A name is missing.
        """
        row = {name: i for i, name in enumerate(self.names)}
        missing = [name for name in names if name not in row]
        if missing:
            raise ValueError(
                f"ClassTexts: {self.source} must have a row for every class, but has none for "
                f"{', '.join(map(repr, missing[:4]))}"
                + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
            )
        return self.features[[row[name] for name in names]]


@torch.no_grad()
def embed_classes(
    encoder: TextEncoder, names: Sequence[str], *, templates: Sequence[str] = (TEMPLATE,)
) -> ClassTexts:
    """Embeds class names in templates; several templates are averaged as unit vectors.

    Args:
        encoder: The small CLIP, any CLIP of ``sparsedef.clip.load_clip``, or your own.
        names: Of the classes; underscores are read as spaces.
        templates: Each with ``{}`` where the name goes.

    Raises:
        ValueError: A template has no place for the name.
    """
    for template in templates:
        if "{}" not in template:
            raise ValueError(f"embed_classes: templates must contain {{}}, got {template!r}")
    spoken = [name.replace("_", " ") for name in names]
    parts = [
        functional.normalize(encoder.text([t.format(name) for name in spoken]).double(), dim=1)
        for t in templates
    ]
    mean = functional.normalize(torch.stack(parts).mean(0), dim=1)
    source = f"texts by {getattr(encoder, 'name', type(encoder).__name__)}"
    return ClassTexts(tuple(names), mean.float().cpu(), source)


def load_class_texts(path: Path, names: Sequence[str] | None = None) -> ClassTexts:
    """Reads stored features: ``.npy``, ``.safetensors``, or the ``.json`` that is shipped.

    Args:
        path: A ``.npy`` array ``[n, M]``; a ``.safetensors`` file with the tensor ``features`` and
            maybe the names, a JSON list, as the metadata ``names``; or a ``.json`` file.
        names: Of the rows, where the file has none. A ``.npy`` file may also have them beside it:
            ``NAME.txt``, one a line.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is something else, or nobody names the rows.
    """
    if not path.is_file():
        raise FileNotFoundError(f"load_class_texts: path must be a file, got {path}")
    read = {".npy": _read_npy, ".safetensors": _read_safetensors, ".json": _read_json}
    if path.suffix not in read:
        raise ValueError(f"load_class_texts: path must end in {', '.join(read)}, got {path.name!r}")
    features, own = read[path.suffix](path)
    found = names if names is not None else own
    if found is None:
        raise ValueError(
            f"load_class_texts: {path} does not name its {len(features)} rows (pass names, or put "
            f"{path.with_suffix('.txt').name} beside it, one name a line)"
        )
    return ClassTexts(tuple(found), features, str(path))


def shapeworld_texts() -> tuple[ClassTexts, ClassTexts]:
    """Loads what the small CLIP makes of ShapeWorld's classes and of its relevant phrases.

    Stored, so that open_clip is not needed; ``tests/clip/test_laat_texts.py`` holds the file to
    the small CLIP, and ``write_shapeworld_texts`` makes it again.

    Returns:
        Classes (each the mean of the small CLIP's four prompts), and concepts.
    """
    stored = json.loads(SHAPEWORLD.read_text())
    classes, concepts = (
        ClassTexts(tuple(part["names"]), torch.tensor(part["features"]), stored["source"])
        for part in (stored["classes"], stored["concepts"])
    )
    return classes, concepts


def write_shapeworld_texts(encoder: TextEncoder, path: Path = SHAPEWORLD) -> None:
    """Writes the file of ``shapeworld_texts`` with an encoder, such as a new small CLIP.

    Example:
        >>> from sparsedef.clip import load_small_clip
        >>> write_shapeworld_texts(load_small_clip())  # doctest: +SKIP
    """
    from sparsedef.clip.small import CONCEPT_TEMPLATE
    from sparsedef.clip.train import PROMPTS
    from sparsedef.worlds import CLASSES, relevant_phrases

    parts = {
        "classes": embed_classes(encoder, CLASSES, templates=PROMPTS),
        "concepts": embed_classes(encoder, relevant_phrases(), templates=(CONCEPT_TEMPLATE,)),
    }
    stored: dict[str, Any] = {"source": parts["classes"].source}
    for name, part in parts.items():
        rows = [[round(value, 6) for value in row] for row in part.features.tolist()]
        stored[name] = {"names": list(part.names), "features": rows}
    path.write_text(json.dumps(stored) + "\n")


def _read_npy(path: Path) -> tuple[Tensor, list[str] | None]:
    array = np.load(path, allow_pickle=False)
    beside = path.with_suffix(".txt")
    names = beside.read_text().split("\n") if beside.is_file() else None
    if names is not None:
        names = [name.strip() for name in names if name.strip()]
    return torch.from_numpy(np.ascontiguousarray(array)), names


def _read_safetensors(path: Path) -> tuple[Tensor, list[str] | None]:
    from sparsedef.streams.tensor_file import map_tensor, read_header

    tensors, metadata = read_header(path)
    if "features" not in tensors:
        raise ValueError(
            f"load_class_texts: {path} must have a tensor 'features', has {sorted(tensors)[:4]}"
        )
    stored = tensors["features"]
    features = torch.from_numpy(np.array(map_tensor(path, stored)))
    if stored.dtype == "BF16":  # numpy has its bits as int16
        features = features.view(torch.bfloat16)
    names = json.loads(metadata["names"]) if "names" in metadata else None
    return features, names


def _read_json(path: Path) -> tuple[Tensor, list[str] | None]:
    stored: Mapping[str, Any] = json.loads(path.read_text())
    part = stored.get("classes", stored)
    return torch.tensor(part["features"]), list(part["names"])
