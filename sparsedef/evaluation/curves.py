"""Accuracy against strength, as an SVG picture that takes its colours from the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 420, 270
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 14, 42


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Args:
        label: For the tooltip.
        style: CSS class suffix that colours it: ``curve-<style>``.
        points: Per strength column: accuracy, low and high end of its interval; ``None`` if absent.
    """

    label: str
    style: str
    points: tuple[tuple[float, float, float] | None, ...]


def draw_curves(curves: Sequence[Curve], ticks: Sequence[str], *, x_title: str, label: str) -> str:
    """Draws curves over equally spaced columns named ``ticks``; the band is the interval.

    Colours come from CSS classes of the page (``curve-<style>``, ``axis``, ``grid``), so that
    the chart follows its light or dark theme.

    Returns:
        One ``<svg>`` element, without script or outside reference.
    """
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(label, quote=True)}">'
    ]
    parts += [_grid_line(share) for share in (0, 0.25, 0.5, 0.75, 1)]
    baseline = HEIGHT - BOTTOM
    for column, tick in enumerate(ticks):
        x = _x(column, len(ticks))
        parts.append(
            f'<text class="axis" x="{x:.1f}" y="{baseline + 17}" text-anchor="middle">'
            f"{escape(tick)}</text>"
        )
    parts.append(
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{HEIGHT - 6}" '
        f'text-anchor="middle">{escape(x_title)}</text>'
    )
    parts += [_draw(curve, len(ticks)) for curve in curves]
    return "".join([*parts, "</svg>"])


def _x(column: int, columns: int) -> float:
    pad = 12
    return LEFT + pad + (WIDTH - LEFT - RIGHT - 2 * pad) * column / max(1, columns - 1)


def _y(share: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)


def _grid_line(share: float) -> str:
    y = _y(share)
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="axis" x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>'
    )


def _draw(curve: Curve, columns: int) -> str:
    seen = [(_x(i, columns), *point) for i, point in enumerate(curve.points) if point is not None]
    line = " ".join(f"{x:.1f},{_y(share):.1f}" for x, share, _, _ in seen)
    upper = [f"{x:.1f},{_y(high):.1f}" for x, _, _, high in seen]
    lower = [f"{x:.1f},{_y(low):.1f}" for x, _, low, _ in reversed(seen)]
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{_y(share):.1f}" r="3.4">'
        f"<title>{escape(curve.label)}: {share:.1%} ({low:.1%} to {high:.1%})</title></circle>"
        for x, share, low, high in seen
    )
    return (
        f'<g class="curve curve-{curve.style}"><polygon points="{" ".join(upper + lower)}"/>'
        f'<polyline points="{line}"/>{dots}</g>'
    )
