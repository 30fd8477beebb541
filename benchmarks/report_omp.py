"""The pursuits' part of the report: grids of problems and batches, and whole images by patches."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from benchmarks.report_grid import Row, against, grids, number, peer_lines, ratio

FEW = 64  # signals: up to here the set-up of a call counts
LEGEND = (
    "Cells: ratio = ms and name of the fastest peer **of the same rule** / ours; `ols:` on lines of"
    " the OMP rule: the ratio to SPAMS, which follows **another rule** (the better of its times on"
    " this line and its own); then ours in units of the product `x @ dictionary.T` alone, and of"
    " the limit: that product and one pass over the bytes of residuals, indices and values. All"
    " timed in the same turns; above 1 sparsedef is faster."
    " `*`: fewer than 3 calls, they take seconds. M = 64: 8 x 8 gray, M = 192: 8 x 8 colour."
)
PATCH_LEGEND = (
    "From image to image: extract all patches, code each without its mean, average the overlaps."
    " `of the coding`: that time over `sparsedef.omp`'s on the same patches, already extracted."
)


def render(rows: list[Row]) -> str:
    """Turns rows of signals into Markdown."""
    rows = [_at_their_best(row, rows) for row in rows]
    parts = grids(rows, lambda row: row["problem"].split()[0], _line, _cell)
    lowest = min(row["ours"]["value"] for row in rows)
    quality = (
        f"At least {100 * lowest:.5g} % of our supports are the float64 pursuit's; the others tied."
    )
    return "\n\n".join([*parts, f"{LEGEND} {quality}", "\n".join(peer_lines(_times_ours(rows)))])


def _line(row: Row) -> str:
    """``M = 64, N = 256, K = 5, omp``."""
    sizes = row["problem"].replace(f" B{row['n_signals']} ", " ").split()[1:]
    return ", ".join(re.sub(r"^([A-Z])(\d+)$", r"\1 = \2", size) for size in sizes)


def _cell(row: Row) -> str:
    ours = row["ours"]["median_ms"]
    parts = [against(row), *_across(row), f"{number(ours / row['product_ms'])} products"]
    if "move_ms" in row:
        limit = row["product_ms"] + row["move_ms"]
        parts[-1] += f", {number(ours / limit)} limits"
    return "; ".join(parts)


def _across(row: Row) -> list[str]:
    """The ratio to who solves the problem of another rule."""
    return [
        f"ols: {ratio(other['median_ms'] / row['ours']['median_ms'])}"
        for other in row.get("across", [])
    ]


def _at_their_best(row: Row, rows: list[Row]) -> Row:
    """Gives those of another rule the better of their times on this line and on their own.

    It is the same call on the same data in the same run, but some of our line's peers leave threads
    behind that spin for a while and slow down whoever comes next.
    """
    own_line = row["problem"].removesuffix(" omp") + " ols"
    own = {
        peer["name"]: peer["median_ms"]
        for other in rows
        if (other["problem"], other["threads"]) == (own_line, row["threads"])
        for peer in other["peers"]
    }
    across = [
        {**other, "median_ms": min(other["median_ms"], own.get(other["name"], math.inf))}
        for other in row.get("across", [])
    ]
    return {**row, "across": across}


def _times_ours(rows: list[Row]) -> Iterator[tuple[str, float]]:
    for row in rows:
        kind, ours = row["problem"].split()[0], row["ours"]["median_ms"]
        where = f"{kind}, B {'<=' if row['n_signals'] <= FEW else '>'} {FEW}"
        for peer in row["peers"]:
            yield f"{peer['name']}: {where}", peer["median_ms"] / ours
        for other in row.get("across", []):
            yield f"{other['name']}, another rule (ols): {where}", other["median_ms"] / ours


def render_patches(rows: list[Row]) -> str:
    """Turns rows of images into one table."""
    lines = [
        "| image | threads | `patch_omp` ms | of the coding | fastest peer of the rule | SPAMS |",
        "|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: row["threads"]):
        ours = row["ours"]["median_ms"]
        shape, *sizes = row["problem"].split()[1:]
        name = ", ".join([shape, *(re.sub(r"^([A-Z])(\d+)$", r"\1 = \2", size) for size in sizes)])
        cells = [
            name,
            str(row["threads"]),
            number(ours),
            number(ours / row["coding_ms"]),
            against(row) if row["peers"] else "none",
            "; ".join(_across(row)) or "-",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    worst = max(row["ours"]["value"] for row in rows)
    return "\n".join([*lines, "", f"{PATCH_LEGEND} Largest error of a pixel of ours {worst:.0e}."])
