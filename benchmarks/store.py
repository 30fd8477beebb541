"""The rows of a run, kept in a file as they come, so that the same command goes on after a stop."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import sparsedef
from benchmarks.machine import commit, machine

Row = dict[str, Any]


class Store:
    """Collects rows under the names of their tests.

    With a path, every row is written at once to ``<path>.part``, and rows that stand there from
    an earlier run of the same sources, size and backend on the same machine count as done.

    Attributes:
        rows: What is there, by test.
        header: Machine, commit and start; of the first run where one is continued.
        note: What became of an earlier run; empty when there was none.
    """

    def __init__(self, path: Path | None, threads: Iterable[int], size: str, backend: str) -> None:
        self.path = path
        self.rows: dict[str, Row] = {}
        self.note = ""
        about = machine()
        self.header: dict[str, Any] = {
            "machine_info": {**about, "device": "cpu", "threads": list(threads), "size": size},
            "commit_info": commit(),
            "datetime": datetime.now(timezone.utc).isoformat(),
        }
        self._same = {
            "sources": sources(),
            "size": size,
            "backend": backend,
            "processor": about["processor"],
            "versions": about["versions"],
        }
        if path is not None:
            self._resume(path)

    @property
    def part(self) -> Path | None:
        """Where unfinished runs are kept."""
        return None if self.path is None else self.path.with_name(self.path.name + ".part")

    def _resume(self, path: Path) -> None:
        part = path.with_name(path.name + ".part")
        if not part.exists():
            return
        kept = json.loads(part.read_text())
        if kept.pop("same") != self._same:
            self.note = f"{part.name} has other sources, size, backend or machine: begun anew"
            return
        self.rows = dict(zip(kept.pop("tests"), kept.pop("rows"), strict=True))
        own = self.header["machine_info"]["threads"]
        self.header = kept
        about = self.header["machine_info"]
        about["threads"] = sorted({*about["threads"], *own})
        self.note = f"{part.name} has {len(self.rows)} finished rows: going on"

    def keep(self, test: str, row: Row) -> None:
        """Adds a row, on disk as well."""
        self.rows[test] = row
        if self.part is not None:
            extra = {"same": self._same, "tests": list(self.rows)}
            _write(self.part, {**self.header, "rows": list(self.rows.values()), **extra})

    def finish(self, order: Iterable[str]) -> None:
        """Writes the result file, rows in the order of the tests, and removes the part."""
        assert self.path is not None
        assert self.part is not None
        tests = dict.fromkeys([*(test for test in order if test in self.rows), *self.rows])
        _write(self.path, {**self.header, "rows": [self.rows[test] for test in tests]})
        self.part.unlink(missing_ok=True)


def _write(path: Path, results: dict[str, Any]) -> None:
    """Writes all or nothing: a stop in the middle leaves the old file."""
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(results, indent=1) + "\n")
    os.replace(new, path)


def sources() -> str:
    """A digest of the package that is timed, native module included, and of these benchmarks."""
    digest = hashlib.sha256()
    for folder in (Path(sparsedef.__file__).parent, Path(__file__).parent):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".so", ".pyd", ".dylib"):
                digest.update(path.relative_to(folder).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
