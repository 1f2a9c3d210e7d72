"""Pictures of a graph: layout, and the forms that it is written in. No clock, no network."""

from __future__ import annotations

from collections.abc import Callable

from dynamo.sdk.graph import ServiceGraph
from dynamo_build.graph.drawing.arrange import NONE, Notes, arrange
from dynamo_build.graph.drawing.html import html
from dynamo_build.graph.drawing.svg import svg
from dynamo_build.graph.drawing.text import dot, mermaid, tree

#: Each picture of a graph by the name of its form; a form is a pure function from the graph, and notes on it, to text.
FORMS: dict[str, Callable[[ServiceGraph, Notes], str]] = {
    "tree": tree,
    "svg": svg,
    "mermaid": mermaid,
    "dot": dot,
    "html": html,
}

__all__ = ["FORMS", "NONE", "Notes", "arrange", "dot", "html", "mermaid", "svg", "tree"]
