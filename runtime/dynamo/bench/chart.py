"""Line charts as SVG text: one picture of a few series, readable without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 170, 40, 50
COLOURS = ("#1b6ca8", "#d1495b", "#3c8d5a", "#8a5fb3", "#c98a1b", "#555555")
Points = Sequence[tuple[float, float]]


def line_chart(title: str, x: str, y: str, series: Mapping[str, Points], *, log_x: bool = False) -> str:
    """The series as lines with a legend; `log_x` where the x values grow by factors. Points that are none are left out.

    Raises ValueError when no point is left.
    """
    clean = {
        name: [(a, b) for a, b in points if math.isfinite(a) and math.isfinite(b) and (a > 0 or not log_x)]
        for name, points in series.items()
    }
    every = [point for points in clean.values() for point in points]
    if not every:
        raise ValueError("there is nothing to draw")
    across = _Scale([a for a, _ in every], LEFT, WIDTH - RIGHT, log_x)
    upward = _Scale([0.0, *(b for _, b in every)], HEIGHT - BOTTOM, TOP, False)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x)}</text>',
        f'<text x="14" y="{HEIGHT / 2:.0f}" text-anchor="middle" '
        f'transform="rotate(-90 14 {HEIGHT / 2:.0f})">{escape(y)}</text>',
    ]
    for value in upward.list_ticks():
        at = upward(value)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in across.list_ticks():
        at = across(value)
        parts.append(f'<path d="M{at:.1f} {HEIGHT - BOTTOM}v5" stroke="#333333"/>')
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{value:g}</text>')
    parts.append(f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#333333"/>')
    for number, (name, points) in enumerate(clean.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [(across(a), upward(b)) for a, b in points]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(places) <= 40:
            parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in places]
        at = TOP + 14 + 18 * number
        parts.append(f'<path d="M{WIDTH - RIGHT + 12} {at - 4}h18" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 36}" y="{at}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


class _Scale:
    """Values to places along an axis."""

    def __init__(self, values: Sequence[float], start: float, end: float, log: bool) -> None:
        self._log = log
        self._start, self._end = start, end
        self._low, self._high = min(map(self._transform_value, values)), max(map(self._transform_value, values))
        if self._high - self._low < 1e-12:
            self._high = self._low + 1

    def _transform_value(self, value: float) -> float:
        return math.log10(value) if self._log else value

    def __call__(self, value: float) -> float:
        share = (self._transform_value(value) - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)

    def list_ticks(self) -> list[float]:
        """A few round values."""
        if self._log:
            return [10.0**power for power in range(math.ceil(self._low - 1e-9), math.floor(self._high + 1e-9) + 1)]
        step = 10.0 ** math.floor(math.log10((self._high - self._low) / 4))
        step *= next(factor for factor in (1, 2, 5, 10) if (self._high - self._low) / (step * factor) <= 6)
        first = math.ceil(self._low / step - 1e-9)
        return [round(number * step, 12) for number in range(first, math.floor(self._high / step + 1e-9) + 1)]
