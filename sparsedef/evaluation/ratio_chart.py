"""Activation ratios by layer, as an SVG picture that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from sparsedef.evaluation.activations import LayerRatio

WIDTH, HEIGHT = 420, 270
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 14, 42


@dataclass(frozen=True)
class RatioLine:
    """One line of a chart.

    Args:
        label: For the tooltip.
        style: CSS class suffix that colours it: ``curve-<style>``.
        ratios: One per layer, in the order of the network.
    """

    label: str
    style: str
    ratios: Sequence[LayerRatio]


def draw_ratios(lines: Sequence[RatioLine], *, label: str, x_title: str = "layer") -> str:
    """Draws the ratio of each layer over its number; the band holds eight images of ten.

    The dashed line is 1, where the attack leaves a layer's activation as it was. Colours come from
    the CSS classes of the page that ``draw_curves`` uses: ``curve-<style>``, ``axis``, ``grid``.
    A layer without a ratio leaves a gap.

    Args:
        lines: All of the same network.
        label: Says what the picture shows, for those who cannot see it.
        x_title: Under the axis.

    Returns:
        One ``<svg>`` element, without script or outside reference.

    Raises:
        ValueError: There is nothing to draw, or the lines have different numbers of layers.
    """
    counts = sorted({len(line.ratios) for line in lines})
    if len(counts) != 1 or counts[0] == 0:
        raise ValueError(
            f"draw_ratios: lines must have one ratio per layer of the same network, got {counts}"
        )
    seen = [r for line in lines for r in line.ratios if r.n > 0]
    drawn = [1.0, *(value for r in seen for value in (r.ratio_mean, r.low, r.high))]
    ticks = _ticks(min(drawn), max(drawn))
    frame = _Frame(counts[0], ticks[0], ticks[-1])
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(label, quote=True)}">'
    ]
    parts += [_grid_line(frame.y(tick), f"{tick:.10g}") for tick in ticks]
    parts.append(
        f'<line class="grid" stroke-dasharray="4 4" style="stroke:currentColor;opacity:.5" '
        f'x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{frame.y(1):.1f}" y2="{frame.y(1):.1f}"/>'
    )
    step = max(1, math.ceil(counts[0] / 10))
    for layer in range(0, counts[0], step):
        parts.append(
            f'<text class="axis" x="{frame.x(layer):.1f}" y="{HEIGHT - BOTTOM + 17}" '
            f'text-anchor="middle">{layer + 1}</text>'
        )
    parts.append(
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{HEIGHT - 6}" '
        f'text-anchor="middle">{escape(x_title)}</text>'
    )
    parts += [_draw(line, frame) for line in lines]
    return "".join([*parts, "</svg>"])


@dataclass(frozen=True)
class _Frame:
    """Where layers and ratios lie in the picture."""

    n_layers: int
    bottom: float
    top: float

    def x(self, layer: int) -> float:
        pad = 12
        return LEFT + pad + (WIDTH - LEFT - RIGHT - 2 * pad) * layer / max(1, self.n_layers - 1)

    def y(self, ratio: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (self.top - ratio) / (self.top - self.bottom)


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers that enclose both ends."""
    spread = max(high - low, 1e-3)
    unit = 10.0 ** math.floor(math.log10(spread / 4))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= spread / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _grid_line(y: float, text: str) -> str:
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="axis" x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    )


def _draw(line: RatioLine, frame: _Frame) -> str:
    """Bands and lines between the gaps, then a dot with a tooltip for each layer."""
    runs: list[list[tuple[int, LayerRatio]]] = [[]]
    for layer, ratio in enumerate(line.ratios):
        if ratio.n > 0:
            runs[-1].append((layer, ratio))
        elif runs[-1]:
            runs.append([])
    drawn = []
    for run in runs:
        middle = [f"{frame.x(i):.1f},{frame.y(r.ratio_mean):.1f}" for i, r in run]
        upper = [f"{frame.x(i):.1f},{frame.y(r.high):.1f}" for i, r in run]
        lower = [f"{frame.x(i):.1f},{frame.y(r.low):.1f}" for i, r in reversed(run)]
        if run:
            drawn.append(f'<polygon points="{" ".join(upper + lower)}"/>')
            drawn.append(f'<polyline points="{" ".join(middle)}"/>')
        for i, r in run:
            told = (
                f"{line.label}, {i + 1} {r.name}: {r.ratio_mean:.3g} ({r.low:.3g} to {r.high:.3g})"
            )
            drawn.append(
                f'<circle cx="{frame.x(i):.1f}" cy="{frame.y(r.ratio_mean):.1f}" r="2.6">'
                f"<title>{escape(told)}</title></circle>"
            )
    return f'<g class="curve curve-{line.style}">{"".join(drawn)}</g>'
