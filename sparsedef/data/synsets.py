"""What ImageNet's helper files say: which synset is which class, and which validation image."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

SYNSET = re.compile(r"n\d{8}")
CLASS_FILES = ("LOC_synset_mapping.txt", "synset_words.txt", "imagenet_class_index.json")
LABEL_FILES = (
    "LOC_val_solution.csv",
    "val_labels.txt",
    "val.txt",
    "imagenet_2012_validation_synset_labels.txt",
)


def read_class_map(who: str, folders: list[Path]) -> dict[str, str] | None:
    """Reads the synsets in the order of their labels, each with a name, from the first file found.

    ``LOC_synset_mapping.txt`` and ``synset_words.txt`` have a line ``n01440764 tench, ...`` per
    class; ``imagenet_class_index.json`` maps ``"0"`` to ``["n01440764", "tench"]``.

    Args:
        who: The caller, for messages.
        folders: Where to look.

    Returns:
        Names by synset, or ``None`` if there is no such file. A name that several classes share
        gets its synset added.
    """
    path = _first(folders, CLASS_FILES)
    if path is None:
        return None
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix == ".json":
            found = {int(key): value for key, value in json.loads(text).items()}
            pairs = [(str(found[i][0]), str(found[i][1])) for i in range(len(found))]
        else:
            lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
            pairs = [(line[0], line[1].split(",")[0].strip()) for line in lines]
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise ValueError(f"{who}: {path} is not a list of synsets and names: {error}") from error
    count = Counter(name for _, name in pairs)
    named = {s: name if count[name] == 1 else f"{name} ({s})" for s, name in pairs}
    if not all(SYNSET.fullmatch(synset) for synset in named) or len(named) != len(pairs):
        raise ValueError(f"{who}: {path} must name each class by its own synset, like n01440764")
    return named


def find_label_file(folders: list[Path]) -> Path | None:
    """Looks for a file with the labels of a validation folder that has no class folders."""
    return _first(folders, LABEL_FILES)


def read_labels(who: str, path: Path, files: list[Path]) -> list[str]:
    """Reads the label of each validation file: a synset, or a number counted from 0.

    A line is ``NAME LABEL`` (separated by a comma or blanks; what follows is ignored, NAME with or
    without its ending), or ``LABEL`` alone, one for each file in the order of their names.

    Args:
        who: The caller, for messages.
        path: Of the label file.
        files: The validation pictures, sorted by name.

    Raises:
        ValueError: A file has no label, or the number of labels does not fit.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [re.split(r"[,\s]+", line.strip()) for line in lines if line.strip()]
    if all(len(row) == 1 for row in rows):
        if len(rows) != len(files):
            raise ValueError(
                f"{who}: {path} must have a label for each of the {len(files)} pictures in "
                f"{files[0].parent}, has {len(rows)}"
            )
        return [row[0] for row in rows]
    by_name = {Path(row[0]).stem: row[1] for row in rows if len(row) > 1}
    missing = [file.name for file in files if file.stem not in by_name]
    if missing:
        raise ValueError(f"{who}: {path} has no label for {len(missing)} pictures: {missing[0]}")
    return [by_name[file.stem] for file in files]


def _first(folders: list[Path], names: tuple[str, ...]) -> Path | None:
    places = (folder / name for folder in folders for name in names)
    return next((place for place in places if place.is_file()), None)
