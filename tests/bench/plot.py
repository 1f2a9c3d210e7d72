"""A plot on two logarithmic axes as SVG: no library, the same bytes for the same numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 440, 80, 60, 50, 200
COLOURS = ("#1f5fbf", "#c2410c", "#15803d", "#7c3aed")
Series = Mapping[str, Sequence[tuple[float, float]]]


def plot(title: str, across: str, up: str, series: Series) -> str:
    """Each series as a line with its points; a dashed line grows in proportion through the last point of the first."""
    points = [point for line in series.values() for point in line]
    low_x, high_x = _decades(x for x, _ in points)
    low_y, high_y = _decades(y for _, y in points)

    def place(x: float, y: float) -> tuple[float, float]:
        right = (math.log10(x) - low_x) / (high_x - low_x) * (WIDTH - LEFT - RIGHT)
        above = (math.log10(y) - low_y) / (high_y - low_y) * (HEIGHT - BOTTOM - TOP)
        return LEFT + right, HEIGHT - BOTTOM - above

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="28" font-size="16">{escape(title)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) // 2}" y="{HEIGHT - 14}" text-anchor="middle">{escape(across)}</text>',
        f'<text transform="translate(20 {(TOP + HEIGHT - BOTTOM) // 2}) rotate(-90)" text-anchor="middle">{escape(up)}</text>',
    ]
    for power in range(low_x, high_x + 1):
        x, y = place(10**power, 10**low_y)
        parts += [_line((x, y), (x, TOP), "#ddd"), _text(x, y + 20, _number(10**power), "middle")]
    for power in range(low_y, high_y + 1):
        x, y = place(10**low_x, 10**power)
        parts += [_line((x, y), (WIDTH - RIGHT, y), "#ddd"), _text(x - 8, y + 4, _number(10**power), "end")]
    last_x, last_y = next(iter(series.values()))[-1]
    start = max(10**low_x, 10**low_y * last_x / last_y)
    parts.append(_line(place(start, last_y * start / last_x), place(last_x, last_y), "#888", ' stroke-dasharray="5 4"'))
    parts.append(_text(WIDTH - RIGHT + 34, TOP + 10, "in proportion", "start"))
    parts.append(_line((WIDTH - RIGHT + 8, TOP + 6), (WIDTH - RIGHT + 28, TOP + 6), "#888", ' stroke-dasharray="5 4"'))
    for number, (name, line) in enumerate(series.items()):
        colour, height = COLOURS[number % len(COLOURS)], TOP + 32 + 22 * number
        drawn = [place(x, y) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in drawn]
        parts.append(_line((WIDTH - RIGHT + 8, height - 4), (WIDTH - RIGHT + 28, height - 4), colour))
        parts.append(_text(WIDTH - RIGHT + 34, height, name, "start"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _decades(values: object) -> tuple[int, int]:
    found = [math.log10(value) for value in values]  # type: ignore[attr-defined]
    low, high = math.floor(min(found)), math.ceil(max(found))
    return low, max(high, low + 1)


def _line(start: tuple[float, float], end: tuple[float, float], colour: str, more: str = "") -> str:
    (x1, y1), (x2, y2) = start, end
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{more}/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
