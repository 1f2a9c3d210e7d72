"""Two images as one page: which layers a pull moves, drawn, and every difference in tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape

from dynamo_build.graph.drawing.html import PAGE
from dynamo_build.image.treemap import Area, treemap
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
