"""A graph as lines for a terminal, from the entry down."""

from __future__ import annotations

from dynamo.sdk.graph import ServiceGraph
from dynamo_build.graph.drawing.arrange import NONE, Notes


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
