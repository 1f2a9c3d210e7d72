"""`dynamo tree`: the services of a bento and who calls whom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynamo_build.cli import console
from dynamo_build.cli.options import OutputForm, Tag, checked_output

if TYPE_CHECKING:
    from dynamo.sdk.graph import ServiceGraph


def tree(tag: Tag = "", output: OutputForm = "text") -> None:
    """Show the services of a bento from the entry down, with their addresses and endpoints.

    Example: dynamo tree frontend
    """
    from dynamo_build.errors import StoreError
    from dynamo_build.seams import default_home
    from dynamo_build.store import Store

    checked_output(output)
    store = Store(default_home())
    wanted = tag or store.last_built_from(Path.cwd())
    if not wanted:
        raise StoreError("no bento was built from this folder", ["Name one: see `dynamo list`."])
    bento = store.get(wanted)
    graph = bento.manifest.graph
    lines = [bento.tag, *_branch(graph, graph.entry, "", "└─ ", set())]
    console.emit(_node(graph, graph.entry), output, text="\n".join(lines), name="\n".join(graph.names))


def _branch(graph: ServiceGraph, name: str, indent: str, joint: str, shown: set[str]) -> Iterator[str]:
    service = graph.service(name)
    calls = ", ".join(endpoint.name for endpoint in service.endpoints) or "nothing"
    again = name in shown and bool(service.edges)
    yield f"{indent}{joint}{name}  {service.namespace}/{name}  answers {calls}" + ("  (as above)" if again else "")
    if again:
        return
    shown.add(name)
    indent += "   " if joint.startswith("└") else "│  "
    for number, edge in enumerate(service.edges, 1):
        last = number == len(service.edges)
        yield from _branch(graph, edge.service, indent, "└─ " if last else "├─ ", shown)


def _node(graph: ServiceGraph, name: str) -> dict[str, Any]:
    service = graph.service(name)
    return {
        "service": name,
        "namespace": service.namespace,
        "endpoints": [endpoint.name for endpoint in service.endpoints],
        "dependencies": [_node(graph, edge.service) for edge in service.edges],
    }
