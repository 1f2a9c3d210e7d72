"""A graph as one page: the picture, and a table that says the same to those who cannot see it."""

from __future__ import annotations

from html import escape

from dynamo.sdk.graph import ServiceGraph, ServiceSpec
from dynamo_build.graph.drawing.arrange import NONE, Notes, arrange_graph
from dynamo_build.graph.drawing.svg import STYLE, describe_picture, render_shapes

PAGE = """
:root { color-scheme: light dark; }
body { font-family: ui-sans-serif, system-ui, sans-serif; margin: 2rem; background: #ffffff; color: #1f2328; }
figure { margin: 0; overflow-x: auto; }
table { border-collapse: collapse; margin-top: 2rem; }
th, td { text-align: left; padding: .4rem .8rem; border-bottom: 1px solid #d0d7de; vertical-align: top; }
@media (prefers-color-scheme: dark) { body { background: #0d1117; color: #f0f6fc; } }
""".strip()


def render_html(graph: ServiceGraph, notes: Notes = NONE) -> str:
    """A page that asks nothing of any other place: no script, no font, no image from outside."""
    picture = arrange_graph(graph, notes)
    now = '<th scope="col">Now</th>' if notes else ""
    rows = "\n".join(_render_row(graph, service, notes) for service in reversed(graph.services))
    label = escape(describe_picture(picture))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(graph.target)}</title>
<style>{PAGE}
{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(graph.target)}</h1>
<figure tabindex="0" aria-label="The graph, drawn">
<svg class="graph" role="img" aria-label="{label}" width="{picture.width}" height="{picture.height}">
{render_shapes(picture)}</svg>
</figure>
<table>
<caption>Services of the graph</caption>
<thead><tr><th scope="col">Service</th><th scope="col">Address</th><th scope="col">Answers</th>\
<th scope="col">Calls</th><th scope="col">Workers</th><th scope="col">Needs</th>\
<th scope="col">Image</th>{now}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</main>
</body>
</html>
"""


def _render_row(graph: ServiceGraph, service: ServiceSpec, notes: Notes) -> str:
    answers = ", ".join(endpoint.name for endpoint in service.endpoints) or "–"
    calls = ", ".join(edge.service for edge in service.edges) or "–"
    needs = f"cpu {service.resources.cpu}, memory {service.resources.memory}, gpu {service.resources.gpu}"
    address = f"{service.namespace}/{service.name}" if service.dynamo else "–"
    cells = [address, answers, calls, str(service.workers), needs, service.image or "the base of the graph"]
    cells += ["; ".join(notes[service.name])] if service.name in notes else []
    mark = " (entry)" if service.name == graph.entry else ""
    return (
        f'<tr><th scope="row">{escape(service.name)}{mark}</th>'
        + "".join(f"<td>{escape(c)}</td>" for c in cells)
        + "</tr>"
    )
