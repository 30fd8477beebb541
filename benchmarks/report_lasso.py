"""The LASSO part of the report: a grid of N and B for each thread count, every peer, and memory."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Any

Row = dict[str, Any]
LEGEND = (
    "Cells: ratio = fastest peer's ms and name / ours, then ours in units of the product"
    " `x @ dictionary.T` alone, timed in the same turns. Above 1 sparsedef is faster. `*`: fewer"
    " than 3 calls, they take seconds."
)


def render(rows: list[Row]) -> str:
    """Turns rows with ``product_ms`` into Markdown."""
    parts = []
    for threads in sorted({row["threads"] for row in rows}):
        for family in dict.fromkeys(_family(row) for row in rows):
            own = [row for row in rows if row["threads"] == threads and _family(row) == family]
            if own:
                parts.append("\n".join([f"*{family}, {_threads(threads)}*", "", *_grid(own)]))
    return "\n\n".join([*parts, f"{LEGEND} {_quality(rows)}", "\n".join(_peers(rows))])


def _family(row: Row) -> str:
    return f"{row['problem'].split()[0]}, M = {row['n_features']}"


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def _grid(rows: list[Row]) -> list[str]:
    batches = sorted({row["n_signals"] for row in rows})
    cells = {(_line(row), row["n_signals"]): _cell(row) for row in rows}
    lines = dict.fromkeys(_line(row) for row in rows)
    return [
        f"| | {' | '.join(f'B = {batch}' for batch in batches)} |",
        "|---" * (len(batches) + 1) + "|",
        *(
            f"| {line} | {' | '.join(cells.get((line, batch), '-') for batch in batches)} |"
            for line in lines
        ),
    ]


def _line(row: Row) -> str:
    return f"N = {row['n_atoms']}{', z >= 0' if row['nonnegative'] else ''}"


def _cell(row: Row) -> str:
    ours = row["ours"]["median_ms"]
    products = f"{number(ours / row['product_ms'])} products"
    if not row["peers"]:
        return f"no peer / {number(ours)}; {products}"
    best = row["peers"][0]
    mark = "*" if best["rounds"] < 3 else ""
    times = f"{number(best['median_ms'])} {best['name']}{mark} / {number(ours)}"
    return f"{ratio(best['median_ms'] / ours)} = {times}; {products}"


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


def _quality(rows: list[Row]) -> str:
    ours = max(row["ours"]["value"] for row in rows)
    peers = [row["peers"][0]["value"] for row in rows if row["peers"]]
    theirs = f", of the fastest peers {max(peers):.0e}" if peers else ""
    found = []
    for family in dict.fromkeys(_family(row) for row in rows):
        own = [row for row in rows if _family(row) == family]
        many = [row for row in own if row["n_signals"] > 1] or own
        counts = [row["ours"]["n_nonzero"] for row in many]
        angles = [row["cosines"] for row in own if row["cosines"]]
        about = "/".join(f"{median(values):.2f}" for values in zip(*angles, strict=True))
        found.append(
            f"{family}: {min(counts):.1f} to {max(counts):.1f} nonzeros per signal,"
            f" cosines of the raw atoms (p5/median/p95) {about}"
        )
    return f"Largest p99 gap of ours {ours:.0e}{theirs}. {'; '.join(found)}."


def _peers(rows: list[Row]) -> list[str]:
    """One line per peer, so that the slower ones are there too."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for peer in row["peers"]:
            times_ours = peer["median_ms"] / row["ours"]["median_ms"]
            found.setdefault(peer["name"], []).append(times_ours)
    lines = [
        "| peer | rows | its time / ours: lowest | median | highest |",
        "|---|---|---|---|---|",
    ]
    for name, times in sorted(found.items(), key=lambda item: median(item[1])):
        values = " | ".join(number(value) for value in (min(times), median(times), max(times)))
        lines.append(f"| {name} | {len(times)} | {values} |")
    return lines if found else []


def describe_memory(rows: Iterable[Row]) -> str:
    """One sentence for each call whose memory was measured."""
    sentences = []
    for row in rows:
        bound = row["max_memory"]
        given = "without `max_memory`" if bound is None else f"`max_memory` of {_mib(bound)}"
        call = f"{row['problem']}, compact, {_threads(row['threads'])}, {given}"
        if row["peak_bytes"] is None:
            sentences.append(f"- {call}: {row['note']}")
            continue
        share = row["peak_bytes"] / row["product_bytes"]
        sentences.append(
            f"- {call}: {_mib(row['peak_bytes'])}, {_mib(row['output_bytes'])} of them the result;"
            f" {share:.2f} times the {_mib(row['product_bytes'])} of `x @ dictionary.T`"
        )
    return "\n".join(sentences)


def _mib(size: int) -> str:
    return f"{number(size / 2**20)} MiB"
