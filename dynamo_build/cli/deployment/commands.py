"""`dynamo deployment`: what is deployed, and how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.deployment.changes import delete, restart, rollback, scale
from dynamo_build.cli.deployment.options import (
    Context,
    Name,
    Namespace,
    Services,
    Timeout,
    Wait,
    find_deployment,
    format_table,
    open_connection,
)
from dynamo_build.cli.options import OutputForm, Quiet, check_output, parse_seconds

if TYPE_CHECKING:
    from dynamo_build.deploy.cluster.status import DeploymentStatus

group = typer.Typer(
    name="deployment",
    help="Look at deployments on a cluster, and change them.",
    epilog="Example: dynamo deployment status frontend --wait",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: The code of `status` and `--exit-code` when all was told, and it is not as it should be.
NOT_READY, DIFFERS = 14, 1


@group.command("list")
def list_(
    namespace: Namespace = "",
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all namespaces.")] = False,
    context: Context = "",
    output: OutputForm = "text",
) -> None:
    """List the deployments of a namespace.

    Example: dynamo deployment list -A
    """
    from dynamo_build.deploy.cluster.status import list_statuses

    check_output(output)
    connection, space = open_connection(namespace, context)
    found = tuple(list_statuses(connection, "" if everywhere else space))
    if output == "name":
        for item in found:
            print(f"{item.namespace}/{item.name}" if everywhere else item.name)
        return
    if output == "text" and not found:
        console.print_line("there is no deployment" + ("" if everywhere else f" in the namespace {space}"))
        return
    rows = [("NAMESPACE", "NAME", "BENTO", "TARGET", "REVISION", "STATE", "READY")]
    rows += [
        (one.namespace, one.name, one.bento, one.target, str(one.revision), one.state, _format_ready(one))
        for one in found
    ]
    console.print_result(found, output, text=lambda: format_table(rows))


@group.command()
def get(
    name: Name,
    namespace: Namespace = "",
    manifests: Annotated[bool, typer.Option("--manifests", help="Print the manifests that were applied.")] = False,
    revision: Annotated[int, typer.Option(help="Of which revision. Default: the current one.")] = 0,
    form: Annotated[str, typer.Option("--format", metavar="yaml|json", help="Form of the manifests.")] = "yaml",
    context: Context = "",
    output: OutputForm = "text",
) -> None:
    """Show one deployment: what it is made of, or the manifests that were applied.

    Example: dynamo deployment get frontend --manifests > frontend.yaml
    """
    from dynamo_build.deploy.cluster.revision import read_manifests
    from dynamo_build.deploy.cluster.status import read_status
    from dynamo_build.deploy.kubernetes.objects import manifest_files

    check_output(output)
    manifest_files.check_form(form)
    connection, parent = find_deployment(name, namespace, context)
    if manifests or revision:
        print(manifest_files.render_manifests(read_manifests(connection, parent, revision), form), end="")
        return
    found = read_status(connection, parent, objects=True)

    def text() -> str:
        rows = {
            "name": found.name,
            "namespace": found.namespace,
            "bento": found.bento,
            "target": found.target,
            "revision": str(found.revision),
            "created": found.created,
            "state": f"{found.state} ({_format_ready(found)})",
        }
        images = dict.fromkeys(workload.image for workload in found.workloads)
        lines = [f"{key:9} {value}" for key, value in rows.items()]
        return "\n".join(
            [*lines, *(f"image     {image}" for image in images), *(f"object    {o}" for o in found.objects)]
        )

    console.print_result(found, output, text=text, name=found.name)


@group.command()
def status(
    name: Name,
    namespace: Namespace = "",
    wait: Wait = False,
    timeout: Timeout = "10m",
    context: Context = "",
    output: OutputForm = "text",
    quiet: Quiet = False,
) -> None:
    """Show whether each service runs, and why not; the exit code is 14 while one does not.

    Example: dynamo deployment status frontend --wait
    """
    from dynamo_build.deploy.cluster import status as statuses
    from dynamo_build.deploy.cluster.revision import read_manifests
    from dynamo_build.deploy.cluster.wait import wait_until_ready

    check_output(output)
    budget = parse_seconds(timeout)
    connection, parent = find_deployment(name, namespace, context)
    if wait:
        wait_until_ready(connection, read_manifests(connection, parent), budget, console.create_listener(quiet))
    found = statuses.read_status(connection, parent)
    rows = [("SERVICE", "WORKLOAD", "READY", "STATE", "REASON")]
    rows += [
        (one.service or "-", f"{one.kind}/{one.name}", f"{one.ready}/{one.wanted}", one.state, one.reason)
        for one in found.workloads
    ]
    console.print_result(found, output, text=lambda: format_table(rows), name=found.state)
    if found.state != statuses.READY:
        raise typer.Exit(NOT_READY)


@group.command()
def diff(
    name: Name,
    namespace: Namespace = "",
    revision: Annotated[int, typer.Option(help="Compare with this one. Default: the current revision.")] = 0,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 when something differs.")] = False,
    context: Context = "",
    output: OutputForm = "text",
) -> None:
    """Show where the cluster differs from what was applied, or what going back to a revision would change.

    Example: dynamo deployment diff frontend --revision 3
    """
    from dynamo_build.deploy.cluster.field_diff import diff_manifests as against
    from dynamo_build.deploy.cluster.revision import read_manifests

    check_output(output)
    connection, parent = find_deployment(name, namespace, context)
    lines = tuple(against(read_manifests(connection, parent, revision), connection))
    console.print_result(lines, output, text="\n".join(lines) or "nothing differs", name=name)
    if lines and exit_code:
        raise typer.Exit(DIFFERS)


@group.command()
def history(name: Name, namespace: Namespace = "", context: Context = "", output: OutputForm = "text") -> None:
    """List the revisions of a deployment that are kept, the newest first.

    Example: dynamo deployment history frontend
    """
    from dynamo_build.deploy.cluster.revision import list_revisions as kept

    check_output(output)
    connection, parent = find_deployment(name, namespace, context)
    found = kept(connection, parent)
    if output == "name":
        for item in found:
            print(item.number)
        return
    rows = [("REVISION", "BENTO", "MANIFESTS", "APPLIED", "CURRENT")]
    rows += [
        (str(item.number), item.bento, item.digest[:12], item.created, "*" if item.current else "") for item in found
    ]
    console.print_result(found, output, text=lambda: format_table(rows))


@group.command()
def logs(
    name: Name,
    services: Services = None,
    namespace: Namespace = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    tail: Annotated[int, typer.Option(metavar="N", min=0, help="Only the last lines of each pod. Default: all.")] = 0,
    since: Annotated[str, typer.Option(metavar="TIME", help="Only what is younger, such as 90s or 2h.")] = "",
    previous: Annotated[bool, typer.Option("--previous", "-p", help="Of the run before the last restart.")] = False,
    context: Context = "",
    output: OutputForm = "text",
) -> None:
    """Print the logs of all pods, each line with its pod; as JSON, one object per line.

    Example: dynamo deployment logs frontend Worker --follow
    """
    from dynamo.sdk import codec
    from dynamo_build.deploy.cluster.logs import read_logs as lines

    check_output(output)
    age = int(parse_seconds(since)) if since else 0
    connection, parent = find_deployment(name, namespace, context)
    space = str(parent["metadata"]["namespace"])
    wanted = tuple(services or ())
    for line in lines(connection, space, name, wanted, follow=follow, tail=tail, since=age, previous=previous):
        shown = codec.encode_canonical(line).decode() if output in ("json", "yaml") else f"{line.pod}  {line.text}"
        print(line.text if output == "name" else shown, flush=follow)


def _format_ready(found: DeploymentStatus) -> str:
    ready = sum(workload.ready for workload in found.workloads)
    return f"{ready}/{sum(workload.wanted for workload in found.workloads)}"


@group.command("port-forward")
def port_forward(
    name: Name,
    service: Annotated[str, typer.Argument(metavar="[SERVICE]", help="Default: the one that answers HTTP.")] = "",
    namespace: Namespace = "",
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="Here; 0 for any that is free.")] = 8000,
    remote: Annotated[
        int, typer.Option(min=0, max=65535, help="In the pod. Default: its HTTP, else its system port.")
    ] = 0,
    context: Context = "",
    quiet: Quiet = False,
) -> None:
    """Lead a port of this machine to a pod, until Ctrl-C; the address is printed on stdout.

    Example: dynamo deployment port-forward frontend --port 8080
    """
    from dynamo_build.deploy.cluster.forward import open_forward

    connection, parent = find_deployment(name, namespace, context)
    space = str(parent["metadata"]["namespace"])
    listener = console.create_listener(quiet)
    with open_forward(connection, space, name, service, remote=remote, local=port, on=listener) as made:
        print(f"http://127.0.0.1:{made.port}", flush=True)
        made.serve()


for _command in (rollback, restart, scale, delete):
    group.command()(_command)
