"""A graph as a stand-alone SVG picture."""

from __future__ import annotations

import itertools
from html import escape

from dynamo.sdk.graph import ServiceGraph
from dynamo_build.graph.drawing.arrange import NONE, Arrow, Box, Notes, Picture, arrange_graph

STYLE = """
svg.graph { background: #ffffff; font-family: ui-sans-serif, system-ui, sans-serif; }
.graph rect { fill: #f6f8fa; stroke: #57606a; }
.graph .entry rect { fill: #ddf4ff; stroke: #0550ae; }
.graph .gpu rect { fill: #dafbe1; stroke: #116329; }
.graph text { fill: #1f2328; font-size: 12px; }
.graph .name { font-size: 15px; font-weight: 600; }
.graph .arrow { fill: none; stroke: #57606a; stroke-width: 1.5; }
.graph .edge { fill: #424a53; font-size: 11px; }
@media (prefers-color-scheme: dark) {
svg.graph { background: #0d1117; }
.graph rect { fill: #161b22; stroke: #8b949e; }
.graph .entry rect { fill: #0c2d6b; stroke: #79c0ff; }
.graph .gpu rect { fill: #033a16; stroke: #56d364; }
.graph text { fill: #f0f6fc; }
.graph .arrow { stroke: #8b949e; }
.graph .edge { fill: #c9d1d9; }
}
""".strip()


def render_svg(graph: ServiceGraph, notes: Notes = NONE) -> str:
    """The picture as an SVG document of its own, with a title for screen readers and both colour schemes."""
    picture = arrange_graph(graph, notes)
    inner = render_shapes(picture)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" role="img" aria-labelledby="title" '
        f'width="{picture.width}" height="{picture.height}" viewBox="0 0 {picture.width} {picture.height}">\n'
        f'<title id="title">{escape(describe_picture(picture))}</title>\n<style>{STYLE}</style>\n{inner}</svg>\n'
    )


def describe_picture(picture: Picture) -> str:
    """The picture in a sentence."""
    calls = "; ".join(f"{arrow.caller} calls {arrow.callee}" for arrow in picture.arrows)
    return f"Graph of {picture.title}: {calls or 'one service'}"


def render_shapes(picture: Picture) -> str:
    """The arrows and boxes, without the element around them."""
    parts = [
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L10 5L0 10z" fill="#57606a"/></marker></defs>'
    ]
    parts.extend(_render_arrow(arrow) for arrow in picture.arrows)
    parts.extend(_render_box(box, box.service.name == picture.title) for box in picture.boxes.values())
    return "\n".join(parts) + "\n"


def _render_arrow(arrow: Arrow) -> str:
    path = f"M{arrow.points[0][0]} {arrow.points[0][1]}"
    for at, ((x1, y1), (x2, y2)) in enumerate(itertools.pairwise(arrow.points)):
        bend = (x2 - x1) // 2
        path += f"L{x2} {y2}" if at % 2 else f"C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
    (x1, y1), (x2, y2) = arrow.points[:2]
    middle = f'x="{(x1 + x2) // 2}" y="{(y1 + y2) // 2 - 5}"'
    return (
        f'<path class="arrow" marker-end="url(#head)" d="{path}"/>'
        f'<text class="edge" text-anchor="middle" {middle}>{escape(arrow.attribute)}</text>'
    )


def _render_box(box: Box, entry: bool) -> str:
    kind = "entry" if entry else "gpu" if box.service.resources.gpu not in ("", "0") else "service"
    lines = [
        f'<text x="{box.x + 12}" y="{box.y + 42 + 18 * row}">{escape(line)}</text>'
        for row, line in enumerate(box.lines)
    ]
    return (
        f'<g class="{kind}" data-service="{escape(box.service.name)}">'
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="8"/>'
        f'<text class="name" x="{box.x + 12}" y="{box.y + 22}">{escape(box.service.name)}</text>{"".join(lines)}</g>'
    )
