"""HTML pages about images: a treemap of sizes, and the difference of two images.

Source of the layout: Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from dynamo_build.graph.drawing.html import PAGE
from dynamo_build.model.report import Change, ImageDiff, ImageReport, LayerReport

_KINDS = {"setting": "Settings", "base": "Base", "package": "Packages", "file": "Files"}
_STYLE = "td { overflow-wrap: anywhere; } svg.map { max-width: 100%; height: auto; }"


def page(found: ImageDiff, before: ImageReport, after: ImageReport, size: Callable[[int], str]) -> str:
    """A page that asks nothing of any other place; what the picture says is in the first table too."""
    title = f"{found.before} → {found.after}"
    told = f"{size(found.moved)} to move, {size(found.shared)} shared"
    tables = "\n".join(
        _differences(heading, [change for change in found.changes if change.kind == kind])
        for kind, heading in _KINDS.items()
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{PAGE}
{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(found.before)} <span aria-label="to">→</span> {escape(found.after)}</h1>
<p>{escape(told)}</p>
<figure tabindex="0" aria-label="The layers after, drawn by their size">
{treemap(told, list(_areas(before, after, size)))}</figure>
<table>
<caption>Layers</caption>
<thead><tr><th scope="col">Layer</th><th scope="col">Before</th><th scope="col">After</th>\
<th scope="col">A pull</th></tr></thead>
<tbody>
{_layers(before, after, size)}
</tbody>
</table>
{tables}
</main>
</body>
</html>
"""


def _areas(before: ImageReport, after: ImageReport, size: Callable[[int], str]) -> Iterator[Area]:
    had = {layer.digest for layer in before.layers}
    for layer in after.layers:
        moved = layer.digest not in had
        parts = tuple(
            Area(name=f"{part.name} {part.version}".strip(), size=part.size, told=size(part.size))
            for part in layer.parts
            if moved
        )
        name = f"{'moved' if moved else 'shared'}: {layer.name}"
        yield Area(name=name, size=layer.size, told=size(layer.size), parts=parts)


def _layers(before: ImageReport, after: ImageReport, size: Callable[[int], str]) -> str:
    has = {layer.digest for layer in after.layers}
    gone = [layer for layer in before.layers if layer.digest not in has]
    had = {layer.digest for layer in before.layers}
    rows = []
    for layer in after.layers:
        if layer.digest in had:
            rows.append(_row(layer.name, size(layer.size), size(layer.size), "shares it"))
            continue
        was = next((each for each in gone if each.name == layer.name), None)
        if was is not None:
            gone.remove(was)
        rows.append(_row(layer.name, _told(was, size), size(layer.size), "moves it"))
    rows += [_row(layer.name, size(layer.size), "–", "leaves it") for layer in gone]
    return "\n".join(rows)


def _told(layer: LayerReport | None, size: Callable[[int], str]) -> str:
    return size(layer.size) if layer is not None else "–"


def _differences(heading: str, changes: list[Change]) -> str:
    if not changes:
        return f"<p>{heading}: no difference.</p>"
    rows = "\n".join(_row(change.what, change.before or "–", change.after or "–") for change in changes)
    return (
        f"<details open>\n<summary>{heading}: {len(changes)}</summary>\n<table>\n<caption>{heading}</caption>\n"
        '<thead><tr><th scope="col">What</th><th scope="col">Before</th><th scope="col">After</th></tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table>\n</details>"
    )


def _row(name: str, *cells: str) -> str:
    return f'<tr><th scope="row">{escape(name)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


WIDTH, HEIGHT = 1200, 760
_HEAD = 20
_MAP_STYLE = """
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
        f"<title>{escape(title)}</title>\n<style>{_MAP_STYLE}</style>\n{_draw_areas(areas)}</svg>\n"
    )


def treemap_page(title: str, areas: Sequence[Area]) -> str:
    """The picture in a treemap_page, with a table that says the same to those who cannot see it."""
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


def _draw_areas(areas: Sequence[Area]) -> str:
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
