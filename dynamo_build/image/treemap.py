"""Sizes as a picture: areas within areas, each as large as what it stands for.

Source: Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 1200, 760
_HEAD = 20
_STYLE = """
svg.map { background: #ffffff; font-family: ui-sans-serif, system-ui, sans-serif; }
.map rect { stroke: #ffffff; stroke-width: 1; }
.map text { fill: #1f2328; font-size: 11px; }
.map .head { font-weight: 600; }
""".strip()
_COLOURS = ("#ddf4ff", "#dafbe1", "#fff8c5", "#ffebe9", "#fbefff", "#ffeff7", "#d8f3f0", "#eaeef2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A name, a size, and what it consists of."""

    name: str
    size: int
    told: str = ""
    parts: tuple[Area, ...] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    x: float
    y: float
    width: float
    height: float


def treemap(title: str, areas: Sequence[Area]) -> str:
    """An SVG document of its own; every area has a tooltip, and asks nothing of any other place."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="map" role="img" aria-label="{escape(title)}" '
        f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n{_drawn(areas)}</svg>\n"
    )


def page(title: str, areas: Sequence[Area]) -> str:
    """The picture in a page, with a table that says the same to those who cannot see it."""
    rows = "\n".join(
        f"<tr><td>{escape(area.name)}</td><td>{escape(part.name)}</td><td>{escape(part.told)}</td></tr>"
        for area in areas
        for part in (area, *area.parts)
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        "<style>body { font-family: ui-sans-serif, system-ui, sans-serif; margin: 2rem; }\n"
        "td { padding: .2rem .8rem; border-bottom: 1px solid #d0d7de; }</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{treemap(title, areas)}<table>\n{rows}\n</table>\n</body>\n</html>\n"
    )


def _drawn(areas: Sequence[Area]) -> str:
    lines = []
    for number, (area, place) in enumerate(_squares(areas, _Place(0, 0, WIDTH, HEIGHT))):
        colour = _COLOURS[number % len(_COLOURS)]
        lines.append(_box(area, place, colour, "head"))
        inner = _Place(place.x + 2, place.y + _HEAD, place.width - 4, place.height - _HEAD - 2)
        if inner.width > 4 and inner.height > 4:
            lines += [_box(part, within, colour, "part") for part, within in _squares(area.parts, inner)]
    return "".join(f"{line}\n" for line in lines)


def _box(area: Area, place: _Place, colour: str, kind: str) -> str:
    shown = ""
    letters = int(place.width / 6.5) - 1
    if place.height >= 14 and letters >= 4:
        text = f"{area.name} {area.told}".strip()
        text = text if len(text) <= letters else f"{text[: letters - 1]}…"
        shown = f'<text class="{kind}" x="{place.x + 4:.1f}" y="{place.y + 13:.1f}">{escape(text)}</text>'
    rectangle = f'x="{place.x:.1f}" y="{place.y:.1f}" width="{place.width:.1f}" height="{place.height:.1f}"'
    return (
        f'<g><title>{escape(f"{area.name} {area.told}".strip())}</title><rect {rectangle} fill="{colour}"/>{shown}</g>'
    )


def _squares(areas: Sequence[Area], place: _Place) -> list[tuple[Area, _Place]]:
    rest = sorted((area for area in areas if area.size > 0), key=lambda area: (-area.size, area.name))
    total = sum(area.size for area in rest)
    if not total:
        return []
    scale = place.width * place.height / total
    found: list[tuple[Area, _Place]] = []
    while rest:
        side = min(place.width, place.height)
        count = 1
        while count < len(rest) and _worst(rest[: count + 1], side, scale) <= _worst(rest[:count], side, scale):
            count += 1
        row, rest = rest[:count], rest[count:]
        thick = sum(area.size for area in row) * scale / side if side else 0.0
        at = 0.0
        for area in row:
            long = area.size * scale / thick if thick else 0.0
            if place.width >= place.height:
                found.append((area, _Place(place.x, place.y + at, thick, long)))
            else:
                found.append((area, _Place(place.x + at, place.y, long, thick)))
            at += long
        if place.width >= place.height:
            place = _Place(place.x + thick, place.y, max(0.0, place.width - thick), place.height)
        else:
            place = _Place(place.x, place.y + thick, place.width, max(0.0, place.height - thick))
    return found


def _worst(row: Sequence[Area], side: float, scale: float) -> float:
    """How far the least square of a row is from one."""
    total = sum(area.size for area in row) * scale
    if not total or not side:
        return float("inf")
    return max(max(side**2 * area.size * scale / total**2, total**2 / (side**2 * area.size * scale)) for area in row)
