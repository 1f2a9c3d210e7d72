"""A graph in Graphviz's DOT language."""

from __future__ import annotations

from dynamo.sdk.graph import ServiceGraph
from dynamo_build.graph.drawing.arrange import NONE, Notes, describe


def dot(graph: ServiceGraph, notes: Notes = NONE) -> str:
    """A digraph with one box per service. Source: The DOT Language, graphviz.org/doc/info/lang.html."""
    lines = ["digraph {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    for service in reversed(graph.services):
        label = "\\l".join(_escaped(line) for line in (service.name, *describe(service, notes))) + "\\l"
        lines.append(f'  "{_escaped(service.name)}" [label="{label}"];')
    for caller in reversed(graph.services):
        lines.extend(
            f'  "{_escaped(caller.name)}" -> "{_escaped(edge.service)}" [label="{_escaped(edge.attribute)}"];'
            for edge in caller.edges
        )
    return "\n".join([*lines, "}"]) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
