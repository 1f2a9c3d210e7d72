"""A graph in Mermaid's flowchart language, for pages that draw it themselves."""

from __future__ import annotations

from dynamo.sdk.graph import ServiceGraph
from dynamo_build.graph.drawing.arrange import NONE, Notes, describe


def mermaid(graph: ServiceGraph, notes: Notes = NONE) -> str:
    """A `flowchart LR`. Nodes go by number: a service may be called `end`, which is a word of the language."""
    number = {name: f"s{at}" for at, name in enumerate(reversed(graph.names))}
    lines = ["flowchart LR"]
    for service in reversed(graph.services):
        text = "<br/>".join(_quoted(line) for line in (service.name, *describe(service, notes)))
        lines.append(f'  {number[service.name]}["{text}"]')
    for caller in reversed(graph.services):
        lines.extend(
            f"  {number[caller.name]} -->|{_quoted(edge.attribute)}| {number[edge.service]}" for edge in caller.edges
        )
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    replaced = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "|": "#124;"}
    return "".join(replaced.get(character, character) for character in text)
