"""Pictures of a graph: layout, and the forms that it is written in. No clock, no network."""

from __future__ import annotations

from collections.abc import Callable

from dynamo.sdk.graph import ServiceGraph
from dynamo_build.graph.drawing.arrange import NONE, Notes, arrange_graph
from dynamo_build.graph.drawing.html import render_html
from dynamo_build.graph.drawing.svg import render_svg
from dynamo_build.graph.drawing.text import render_dot, render_mermaid, render_tree

#: Each picture of a graph by the name of its form; a form is a pure function from the graph, and notes on it, to text.
FORMS: dict[str, Callable[[ServiceGraph, Notes], str]] = {
    "tree": render_tree,
    "svg": render_svg,
    "mermaid": render_mermaid,
    "dot": render_dot,
    "html": render_html,
}

__all__ = [
    "FORMS",
    "NONE",
    "Notes",
    "arrange_graph",
    "render_dot",
    "render_html",
    "render_mermaid",
    "render_svg",
    "render_tree",
]
