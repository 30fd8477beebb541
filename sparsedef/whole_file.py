"""Files that are there whole or not at all, whenever the process or the machine stops."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary name beside ``path`` to write to, and renames it when that went well.

    Until then, and when the block fails, ``path`` is what it was.

    Args:
        path: Where the file shall be; its folder exists.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with whole_file(Path(folder, "a.txt")) as draft:
        ...         _ = draft.write_text("all of it")
        ...     [each.name for each in Path(folder).iterdir()]
        ['a.txt']
    """
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def remove_leftovers(folder: Path, names: str) -> None:
    """Removes what runs that were killed while they wrote ``names`` (a pattern) left behind."""
    for path in folder.glob(f".{names}.*.tmp"):
        path.unlink(missing_ok=True)
