"""The dictionaries' part of the report: seconds to the same held-out objective."""

from __future__ import annotations

from benchmarks.report_grid import Row, number, ratio, thread_count

LEGEND = (
    "Seconds of learning until the held-out objective is within 1 % of the lowest that anyone"
    " reached in four passes over the data, all from the same first atoms; one judge, certified"
    " codes in float64. sparsedef with its defaults, which were chosen on these photographs (with"
    " other held-out patches), the peers with the best of the settings tried."
    " The least budget that suffices is found to 9 %; `*`: in one run, stopped at every 9 % more"
    " signals. Ratio: peer / sparsedef; above 1 sparsedef is faster."
)


def render(rows: list[Row]) -> str:
    """Turns rows into Markdown."""
    parts = []
    for row in rows:
        title = (
            f"*{row['n_signals']:,} patches, M = {row['n_features']}, N = {row['n_atoms']},"
            f" alpha = {row['alpha']}, {thread_count(row['threads'])}: from {row['start']:.2f} to"
            f" {row['target']:.2f}*"
        )
        lines = [
            "| | s | ratio | signals seen | held-out objective | after four passes |",
            "|---|---|---|---|---|---|",
            *(_line(each, row["ours"]["median_ms"]) for each in (row["ours"], *row["peers"])),
        ]
        parts.append("\n".join([title, "", *lines]))
    return "\n\n".join([*parts, LEGEND])


def _line(row: Row, ours_ms: float) -> str:
    is_ours = row["median_ms"] == ours_ms
    mark = "*" if row["rounds"] < 3 else ""
    lowest = "-" if mark else f"{row['lowest']:.2f}"
    return (
        f"| {row['name']}{mark} | {number(row['median_ms'] / 1e3)} |"
        f" {'' if is_ours else ratio(row['median_ms'] / ours_ms)} | {row['n_seen']:,} |"
        f" {row['value']:.2f} | {lowest} |"
    )
