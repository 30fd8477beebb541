"""What the tables share: numbers, ratios, a grid of problems and batches, a line per peer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

Row = dict[str, Any]


def grids(
    rows: list[Row],
    family: Callable[[Row], str],
    line: Callable[[Row], str],
    cell: Callable[[Row], str],
) -> list[str]:
    """One table of lines by batches for each thread count and family of problems."""
    parts = []
    for threads in sorted({row["threads"] for row in rows}):
        for name in dict.fromkeys(family(row) for row in rows):
            own = [row for row in rows if row["threads"] == threads and family(row) == name]
            if own:
                title = f"*{name}, {thread_count(threads)}*"
                parts.append("\n".join([title, "", *_grid(own, line, cell)]))
    return parts


def thread_count(count: int) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{count} thread{'s' if count > 1 else ''}"


def _grid(rows: list[Row], line: Callable[[Row], str], cell: Callable[[Row], str]) -> list[str]:
    batches = sorted({row["n_signals"] for row in rows})
    cells = {(line(row), row["n_signals"]): cell(row) for row in rows}
    lines = dict.fromkeys(line(row) for row in rows)
    return [
        f"| | {' | '.join(f'B = {batch:,}' for batch in batches)} |",
        "|---" * (len(batches) + 1) + "|",
        *(
            f"| {name} | {' | '.join(cells.get((name, batch), '-') for batch in batches)} |"
            for name in lines
        ),
    ]


def against(row: Row) -> str:
    """Our ratio to the fastest peer, with both times in ms."""
    ours = row["ours"]["median_ms"]
    if not row["peers"]:
        return f"no peer / {number(ours)}"
    best = row["peers"][0]
    mark = "*" if best["rounds"] < 3 else ""
    times = f"{number(best['median_ms'])} {best['name']}{mark} / {number(ours)}"
    return f"{ratio(best['median_ms'] / ours)} = {times}"


def ratio(value: float) -> str:
    """Bold when we are faster, and a loss said to be one."""
    if value < 1:
        return f"{value:.2f} (slower)"
    return f"**{value:.0f}**" if value >= 100 else f"**{value:.1f}**"


def number(value: float) -> str:
    """Three significant digits, without exponents."""
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def peer_lines(times_ours: Iterable[tuple[str, float]]) -> list[str]:
    """One line per peer from its times in units of ours, so that the slower ones are there too."""
    found: dict[str, list[float]] = {}
    for name, times in times_ours:
        found.setdefault(name, []).append(times)
    lines = [
        "| peer | rows | its time / ours: lowest | median | highest |",
        "|---|---|---|---|---|",
    ]
    for name, values in sorted(found.items(), key=lambda item: median(item[1])):
        shown = " | ".join(number(value) for value in (min(values), median(values), max(values)))
        lines.append(f"| {name} | {len(values)} | {shown} |")
    return lines if found else []
