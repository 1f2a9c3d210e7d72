"""Options, the cluster and tables shared by the commands of `dynamo deployment`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dynamo_build.deploy.cluster.api_client import Connection

Name = Annotated[str, typer.Argument(metavar="NAME", help="The deployment.")]
Services = Annotated[list[str] | None, typer.Argument(metavar="[SERVICE]...", help="Only these. Default: all.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="The namespace. Default: that of the project.")]
Context = Annotated[str, typer.Option("--context", metavar="NAME", help="Context of the kubeconfig.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until all is ready.")]
Timeout = Annotated[str, typer.Option(metavar="TIME", help="How long to wait, such as 90s or 30m.")]


def open_connection(namespace: str, context: str) -> tuple[Connection, str]:
    """The cluster, and the namespace: as given, else as the project says. Raises DeployError or ToolMissing."""
    import os

    from dynamo_build.deploy.cluster.api_client import Connection
    from dynamo_build.project import settings

    flags = {"deploy.namespace": namespace or None, "deploy.context": context or None}
    declared = settings.load_settings(Path.cwd(), os.environ, flags)
    connection = Connection(kubeconfig=os.environ.get("KUBECONFIG", ""), context=declared["deploy.context"])
    return connection, str(declared["deploy.namespace"])


def find_deployment(name: str, namespace: str, context: str) -> tuple[Connection, Mapping[str, Any]]:
    """The cluster and a deployment's parent object. Raises DeployError when there is none of that name."""
    from dynamo_build.deploy.cluster.members import find_parent

    connection, space = open_connection(namespace, context)
    return connection, find_parent(connection, name, space)


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
