"""Text forms of a graph: Graphviz DOT, Mermaid, and a tree for terminals."""

from __future__ import annotations

from dynamo.sdk.graph import ServiceGraph
from dynamo_build.graph.drawing.arrange import NONE, Notes, describe


def dot(graph: ServiceGraph, notes: Notes = NONE) -> str:
    """A digraph with one box per service. Source: The DOT Language, graphviz.org/doc/info/lang.html."""
    lines = ["digraph {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    for service in reversed(graph.services):
        label = "\\l".join(_escape_dot(line) for line in (service.name, *describe(service, notes))) + "\\l"
        lines.append(f'  "{_escape_dot(service.name)}" [label="{label}"];')
    for caller in reversed(graph.services):
        lines.extend(
            f'  "{_escape_dot(caller.name)}" -> "{_escape_dot(edge.service)}" [label="{_escape_dot(edge.attribute)}"];'
            for edge in caller.edges
        )
    return "\n".join([*lines, "}"]) + "\n"


def _escape_dot(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def mermaid(graph: ServiceGraph, notes: Notes = NONE) -> str:
    """A `flowchart LR`. Nodes go by number: a service may be called `end`, which is a word of the language."""
    number = {name: f"s{at}" for at, name in enumerate(reversed(graph.names))}
    lines = ["flowchart LR"]
    for service in reversed(graph.services):
        text = "<br/>".join(_escape_mermaid(line) for line in (service.name, *describe(service, notes)))
        lines.append(f'  {number[service.name]}["{text}"]')
    for caller in reversed(graph.services):
        lines.extend(
            f"  {number[caller.name]} -->|{_escape_mermaid(edge.attribute)}| {number[edge.service]}"
            for edge in caller.edges
        )
    return "\n".join(lines) + "\n"


def _escape_mermaid(text: str) -> str:
    replaced = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "|": "#124;"}
    return "".join(replaced.get(character, character) for character in text)


def tree(graph: ServiceGraph, notes: Notes = NONE) -> str:
    """One line per service with its address and what it answers; what was shown above is named only."""
    lines: list[str] = []
    shown: set[str] = set()
    waiting = [(graph.entry, "", "└─ ")]  # no recursion: a chain may be longer than the stack
    while waiting:
        name, indent, joint = waiting.pop()
        service = graph.service(name)
        calls = ", ".join(endpoint.name for endpoint in service.endpoints) or "nothing"
        again = name in shown and bool(service.edges)
        noted = "".join(f"  {note}" for note in notes.get(name, ()))
        lines.append(
            f"{indent}{joint}{name}  {service.namespace}/{name}  answers {calls}{noted}" + again * "  (as above)"
        )
        if again:
            continue
        shown.add(name)
        indent += "   " if joint.startswith("└") else "│  "
        last = len(service.edges) - 1
        waiting += [(edge.service, indent, "└─ " if at == last else "├─ ") for at, edge in enumerate(service.edges)][
            ::-1
        ]
    return "\n".join(lines) + "\n"
