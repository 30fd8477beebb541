"""The LASSO part of the report: a grid of N and B for each thread count, every peer, and memory."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from benchmarks.report_grid import Row, against, grids, number, peer_lines, thread_count

LEGEND = (
    "Cells: ratio = fastest peer's ms and name / ours, then ours in units of the product"
    " `x @ dictionary.T` alone, timed in the same turns. Above 1 sparsedef is faster. `*`: fewer"
    " than 3 calls, they take seconds."
)


def render(rows: list[Row]) -> str:
    """Turns rows into Markdown."""
    parts = grids(rows, _family, _line, _cell)
    peers = (
        (peer["name"], peer["median_ms"] / row["ours"]["median_ms"])
        for row in rows
        for peer in row["peers"]
    )
    return "\n\n".join([*parts, f"{LEGEND} {_quality(rows)}", "\n".join(peer_lines(peers))])


def _family(row: Row) -> str:
    return f"{row['problem'].split()[0]}, M = {row['n_features']}"


def _line(row: Row) -> str:
    return f"N = {row['n_atoms']}{', z >= 0' if row['nonnegative'] else ''}"


def _cell(row: Row) -> str:
    return f"{against(row)}; {number(row['ours']['median_ms'] / row['product_ms'])} products"


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


def describe_memory(rows: Iterable[Row]) -> str:
    """One sentence for each call whose memory was measured."""
    sentences = []
    for row in rows:
        bound = row["max_memory"]
        given = "without `max_memory`" if bound is None else f"`max_memory` of {_mib(bound)}"
        call = f"{row['problem']}, compact, {thread_count(row['threads'])}, {given}"
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
