"""`dynamo tree`: the services of a bento and their dependencies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynamo_build.cli import console
from dynamo_build.cli.options import OutputForm, Tag, checked_output

if TYPE_CHECKING:
    from dynamo.sdk.graph import ServiceGraph


def tree(tag: Tag = "", output: OutputForm = "text") -> None:
    """Show the services of a bento as a tree from the entry service, with addresses and endpoints.

    Example: dynamo tree frontend
    """
    from dynamo_build.bento.store import chosen
    from dynamo_build.graph.drawing.text import tree

    checked_output(output)
    bento = chosen(tag, Path.cwd())
    graph = bento.manifest.graph
    console.emit(
        _node(graph, graph.entry), output, text=f"{bento.tag}\n{tree(graph)}".rstrip("\n"), name="\n".join(graph.names)
    )


def _node(graph: ServiceGraph, name: str) -> dict[str, Any]:
    service = graph.service(name)
    return {
        "service": name,
        "namespace": service.namespace,
        "endpoints": [endpoint.name for endpoint in service.endpoints],
        "dependencies": [_node(graph, edge.service) for edge in service.edges],
    }
