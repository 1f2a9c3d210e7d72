"""`dynamo deployment`: the commands that change what is deployed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.deployment.options import Context, Name, Namespace, Services, Timeout, Wait, find_deployment
from dynamo_build.cli.options import OutputForm, Quiet, check_output, parse_seconds

if TYPE_CHECKING:
    from dynamo_build.deploy.cluster.api_client import Connection
    from dynamo_build.events import Listener
    from dynamo_build.model.deployment import Manifests

Force = Annotated[bool, typer.Option("--force", help="Take fields that other tools own.")]


def rollback(
    name: Name,
    namespace: Namespace = "",
    to: Annotated[int, typer.Option(metavar="REVISION", help="Default: the one before the current.")] = 0,
    wait: Wait = False,
    timeout: Timeout = "30m",
    force: Force = False,
    server_dry_run: Annotated[bool, typer.Option("--server-dry-run", help="Ask the cluster, change nothing.")] = False,
    context: Context = "",
    output: OutputForm = "text",
    quiet: Quiet = False,
) -> None:
    """Apply an earlier revision again, as it was: images, configuration and all.

    Example: dynamo deployment rollback frontend --to 3 --wait
    """
    from dynamo_build.deploy.cluster.alter import find_earlier_revision

    check_output(output)
    budget = parse_seconds(timeout) if wait else 0
    listener = console.create_listener(quiet)
    connection, parent = find_deployment(name, namespace, context)
    number, manifests = find_earlier_revision(connection, parent, to)
    _apply_manifests(connection, manifests, listener, force=force, wait=budget, dry_run=server_dry_run)
    state = "checked" if server_dry_run else "ready" if wait else "applied"
    result = {"deployment": name, "namespace": manifests.namespace, "restored": number, "state": state}
    console.print_result(result, output, text=f"{name} is back at revision {number}", name=name)


def restart(
    name: Name,
    services: Services = None,
    namespace: Namespace = "",
    wait: Wait = False,
    timeout: Timeout = "30m",
    context: Context = "",
    output: OutputForm = "text",
    quiet: Quiet = False,
) -> None:
    """Start the pods of services anew, a few at a time, without changing what they run.

    Example: dynamo deployment restart frontend Worker
    """
    from dynamo_build.deploy.cluster import alter
    from dynamo_build.deploy.cluster.revision import read_manifests
    from dynamo_build.deploy.cluster.wait import wait_until_ready

    check_output(output)
    budget = parse_seconds(timeout)
    connection, parent = find_deployment(name, namespace, context)
    touched = alter.restart_workloads(connection, parent, tuple(services or ()))
    if wait:
        wait_until_ready(connection, read_manifests(connection, parent), budget, console.create_listener(quiet))
    result = {"deployment": name, "namespace": parent["metadata"]["namespace"], "restarted": list(touched)}
    console.print_result(result, output, text="\n".join(touched), name=name)


def scale(
    name: Name,
    replicas: Annotated[list[str], typer.Argument(metavar="SERVICE=COUNT...", help="How many of each.")],
    namespace: Namespace = "",
    wait: Wait = False,
    timeout: Timeout = "30m",
    force: Force = False,
    context: Context = "",
    output: OutputForm = "text",
    quiet: Quiet = False,
) -> None:
    """Change how many pods of a service run. This makes a revision; the next deploy sets what the graph says.

    Example: dynamo deployment scale frontend Worker=4
    """
    from dynamo_build.deploy.cluster.alter import scale_manifests
    from dynamo_build.deploy.cluster.revision import read_manifests

    check_output(output)
    wanted = _parse_counts(replicas)
    budget = parse_seconds(timeout) if wait else 0
    listener = console.create_listener(quiet)
    connection, parent = find_deployment(name, namespace, context)
    manifests = scale_manifests(read_manifests(connection, parent), wanted)
    _apply_manifests(connection, manifests, listener, force=force, wait=budget)
    result = {"deployment": name, "namespace": manifests.namespace, "replicas": wanted}
    text = "\n".join(f"{service} {count}" for service, count in wanted.items())
    console.print_result(result, output, text=text, name=name)


def delete(
    name: Name,
    namespace: Namespace = "",
    claims: Annotated[bool, typer.Option("--claims", help="Its volumes too, with the data on them.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    timeout: Timeout = "5m",
    context: Context = "",
    output: OutputForm = "text",
    quiet: Quiet = False,
) -> None:
    """Remove a deployment with all that it holds, and wait until it is gone; volumes stay unless asked for.

    Example: dynamo deployment delete frontend --yes
    """
    from dynamo_build.deploy.cluster.remove import remove_deployment
    from dynamo_build.errors import UsageError

    check_output(output)
    budget = parse_seconds(timeout)
    connection, parent = find_deployment(name, namespace, context)
    space = str(parent["metadata"]["namespace"])
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("there is nobody to ask whether to delete", ["Say so with --yes."])
        typer.confirm(f"Delete {name} in {space} on {connection.host}?", abort=True, err=True)
    gone = remove_deployment(connection, parent, budget, console.create_listener(quiet), claims=claims)
    result = {"deployment": name, "namespace": space, "removed": list(gone)}
    console.print_result(result, output, text=name, name=name)


def _apply_manifests(
    connection: Connection,
    manifests: Manifests,
    listener: Listener,
    *,
    force: bool,
    wait: float,
    dry_run: bool = False,
) -> None:
    from dynamo_build.deploy.cluster.apply import apply_manifests
    from dynamo_build.seams import ApplyOptions, Surroundings

    options = ApplyOptions(force=force, wait=wait, dry_run=dry_run)
    apply_manifests(manifests, Surroundings(applying=options), listener, connection)


def _parse_counts(texts: list[str]) -> dict[str, int]:
    from dynamo_build.errors import UsageError

    found: dict[str, int] = {}
    for text in texts:
        service, _, count = text.partition("=")
        if not service or not (count.isascii() and count.isdigit()) or len(count) > 9:
            raise UsageError(f"`{text}` is not SERVICE=COUNT", ["Write such as Worker=4."])
        found[service] = int(count)
    return found
