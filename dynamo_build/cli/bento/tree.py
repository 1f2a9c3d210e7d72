"""`dynamo tree`: the services of a bento and their dependencies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynamo_build.cli import console
from dynamo_build.cli.options import OutputForm, Tag, check_output

if TYPE_CHECKING:
    from dynamo.sdk.graph import ServiceGraph


def tree(tag: Tag = "", output: OutputForm = "text") -> None:
    """Show the services of a bento as a tree from the entry service, with addresses and endpoints.

    Example: dynamo tree frontend
    """
    from dynamo_build.bento.store import select_bento
    from dynamo_build.graph.drawing.text import render_tree

    check_output(output)
    bento = select_bento(tag, Path.cwd())
    graph = bento.manifest.graph
    console.print_result(
        _describe_service(graph, graph.entry),
        output,
        text=f"{bento.tag}\n{render_tree(graph)}".rstrip("\n"),
        name="\n".join(graph.names),
    )


def _describe_service(graph: ServiceGraph, name: str) -> dict[str, Any]:
    service = graph.service(name)
    return {
        "service": name,
        "namespace": service.namespace,
        "endpoints": [endpoint.name for endpoint in service.endpoints],
        "dependencies": [_describe_service(graph, edge.service) for edge in service.edges],
    }
