"""What a result must say about where it comes from. No host name, no user, no path."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import sparsedef

LIBRARIES = (
    "torch",
    "triton",
    "numpy",
    "scikit-learn",
    "spams-bin",
    "celer",
    "skglm",
    "orthogonal-matching-pursuit-gpu",
)
ROOT = Path(__file__).parents[1]


def machine() -> dict[str, Any]:
    """Processor, memory, system and library versions."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "versions": {name: _version(name) for name in LIBRARIES},
    }


def commit() -> dict[str, Any]:
    """The commit of the checkout, whether files differ from it, and what of it is timed.

    ``installed`` is the version of a sparsedef that is not the one of this checkout, else ``None``.
    """
    is_own = Path(sparsedef.__file__).resolve().parents[1] == ROOT.resolve()
    return {
        "id": _git("rev-parse", "HEAD") or "none",
        "dirty": bool(_git("status", "--porcelain")),
        "installed": None if is_own else sparsedef.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    fields = {key.strip(): value.strip() for key, value in pairs}
    return fields.get("model name", platform.processor())


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
