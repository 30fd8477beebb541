"""Signed bars of what each concept says, as an SVG picture that takes its colours from the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from torch import Tensor

from sparsedef.defenses.semantic import Comparison, Explanation

WIDTH = 520
LEFT, RIGHT, TOP = 190, 14, 66  # names end at LEFT
ROW, BAR = 30, 9
ROOM = 40  # for the number beside a bar
LONGEST = 28  # characters of a concept; the whole of it is in the tooltip
LONGEST_CLASS = 20

Line = tuple[str, float, float]  # name, value of the first bar, of the second


def draw_explanation(explanation: Explanation, *, top: int = 8, classes: Sequence[str] = ()) -> str:
    """Draws what each concept adds to the logits of the class explained and of its rival.

    Shown are the ``top`` concepts that tell the two apart most, then the sum of all the others and
    the bias, so that the bars of a class add up to its logit.

    Colours come from CSS classes of the page (``bar-label``, ``bar-rival``, ``axis``, ``grid``), so
    that the picture follows its light or dark theme.

    Args:
        explanation: Of one image.
        top: Concepts with a bar of their own.
        classes: Their names, by label.

    Returns:
        One ``<svg>`` element, without script or outside reference.
    """
    one, other = explanation.contributions, explanation.rival_contributions
    bias = (explanation.bias, explanation.rival_bias)
    label, rival = (_class(i, classes) for i in (explanation.label, explanation.rival))
    lines = _lines(explanation.names, one, other, explanation.margin.abs(), bias, top)
    keys = (
        (f"for {label}: {sum(line[1] for line in lines):.2f}", "label"),
        (f"for {rival}: {sum(line[2] for line in lines):.2f}", "rival"),
    )
    return _draw(lines, keys, "What each concept adds to the logit")


def draw_comparison(comparison: Comparison, *, top: int = 8, classes: Sequence[str] = ()) -> str:
    """Draws what each concept says for the answer on the clean image, before an attack and after.

    A bar is what the concept adds to the logit of the class that the clean image won beyond that of
    its rival (the class that the attacked image won): to the right it speaks for the clean answer.
    Bars of one colour add up to the margin, which is below 0 where the attack won. Shown are the
    ``top`` concepts that the attack changed most, then the sum of all the others and the bias.

    Colours come from CSS classes of the page (``bar-clean``, ``bar-attacked``, ``axis``, ``grid``).

    Args:
        comparison: Of one image.
        top: Concepts with a bar of their own.
        classes: Their names, by label.

    Returns:
        One ``<svg>`` element, without script or outside reference.
    """
    clean, attacked = comparison.clean, comparison.attacked
    bias = clean.bias - clean.rival_bias
    label, rival = (_class(i, classes) for i in (clean.label, clean.rival))
    lines = _lines(
        clean.names,
        clean.margin,
        attacked.margin,
        (attacked.margin - clean.margin).abs(),
        (bias, bias),
        top,
    )
    keys = (
        (f"clean: {sum(line[1] for line in lines):.2f}", "clean"),
        (f"attacked: {sum(line[2] for line in lines):.2f}", "attacked"),
    )
    return _draw(lines, keys, f"What each concept says for {label} against {rival}")


def _class(label: int, classes: Sequence[str]) -> str:
    return _shorten(classes[label], LONGEST_CLASS) if classes else f"class {label}"


def _shorten(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "\u2026"


def _lines(
    names: Sequence[str],
    one: Tensor,
    other: Tensor,
    importance: Tensor,
    bias: tuple[float, float],
    top: int,
) -> list[Line]:
    """The concepts that matter most, the rest of them together, and the bias."""
    order = importance.argsort(descending=True, stable=True).tolist()
    is_used = ((one != 0) | (other != 0)).tolist()
    shown = [i for i in order if is_used[i]][:top]
    rest = [i for i in range(len(names)) if is_used[i] and i not in shown]
    lines: list[Line] = [(names[i], float(one[i]), float(other[i])) for i in shown]
    if rest:
        name = f"{len(rest)} more concept{'s' if len(rest) > 1 else ''}"
        lines.append((name, float(one[rest].sum()), float(other[rest].sum())))
    return [*lines, ("bias", *bias)]


def _draw(lines: Sequence[Line], keys: Sequence[tuple[str, str]], title: str) -> str:
    height = TOP + ROW * len(lines) + 6
    values = [value for line in lines for value in line[1:]]
    low, high = min(0.0, *values), max(0.0, *values)
    scale = (WIDTH - LEFT - RIGHT - 2 * ROOM) / ((high - low) or 1)
    zero = LEFT + ROOM - low * scale
    parts = [
        f'<svg class="chart bars" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title, quote=True)}">',
        f'<text class="axis" x="4" y="14">{escape(title)}</text>',
    ]
    for row, (text, style) in enumerate(keys):
        y = 34 + 18 * row
        parts.append(
            f'<rect class="bar bar-{style}" x="4" y="{y - 9}" width="10" height="10" rx="2"/>'
            f'<text class="axis" x="20" y="{y}">{escape(text)}</text>'
        )
    parts.append(
        f'<line class="grid" x1="{zero:.1f}" x2="{zero:.1f}" y1="{TOP - 4}" y2="{height - 4}"/>'
    )
    styles = [style for _, style in keys]
    for row, line in enumerate(lines):
        parts.append(_row(line, styles, TOP + ROW * row, zero, scale))
    return "".join([*parts, "</svg>"])


def _row(line: Line, styles: Sequence[str], y: float, zero: float, scale: float) -> str:
    name, *values = line
    told = ", ".join(f"{style} {value:+.3f}" for style, value in zip(styles, values, strict=True))
    parts = [
        f"<g><title>{escape(name)}: {told}</title>"
        f'<text class="axis" x="{LEFT}" y="{y + ROW / 2 + 3:.1f}" text-anchor="end">'
        f"{escape(_shorten(name, LONGEST))}</text>"
    ]
    for place, (value, style) in enumerate(zip(values, styles, strict=True)):
        top = y + ROW / 2 - BAR - 0.5 + place * (BAR + 1)
        length = abs(value) * scale
        start, anchor = (zero, "start") if value >= 0 else (zero - length, "end")
        end = zero + length + 4 if value >= 0 else zero - length - 4
        if value != 0:
            parts.append(
                f'<rect class="bar bar-{style}" x="{start:.1f}" y="{top:.1f}" '
                f'width="{length:.1f}" height="{BAR}" rx="1.5"/>'
            )
            parts.append(
                f'<text class="amount" x="{end:.1f}" y="{top + BAR - 0.8:.1f}" '
                f'text-anchor="{anchor}">{value:+.2f}</text>'
            )
    return "".join([*parts, "</g>"])
