"""`dynamo serve`: run a graph on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import ServiceCommand, WorkingDirectory

command_class = ServiceCommand


def serve(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(metavar="MODULE:SERVICE|TAG|FILE.bento|FOLDER", help="The graph's entry service, or a bento."),
    ],
    config_file: Annotated[
        str, typer.Option("--config-file", "--file", "-f", metavar="FILE", help="YAML with a section per service.")
    ] = "",
    port: Annotated[
        int, typer.Option("--port", "-p", envvar="DYNAMO_PORT", min=0, max=65535, help="HTTP port; 0 picks a free one.")
    ] = 8000,
    host: Annotated[str, typer.Option("--host", envvar="DYNAMO_HOST", help="The address to listen on.")] = "127.0.0.1",
    service_name: Annotated[
        str, typer.Option("--service-name", envvar="DYNAMO_SERVICE_NAME", metavar="NAME", help="Run only this service.")
    ] = "",
    depends: Annotated[
        list[str] | None,
        typer.Option(
            "--depends",
            envvar="DYNAMO_SERVE_DEPENDS",
            metavar="NAME=NAMESPACE/COMPONENT",
            help="A service that runs elsewhere (repeatable).",
        ),
    ] = None,
    working_dir: WorkingDirectory = ".",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the configuration as JSON and stop.")] = False,
    reload: Annotated[bool, typer.Option("--reload", help="Restart workers when the code changes.")] = False,
    dashboard: Annotated[bool, typer.Option("--dashboard", help="Also start the dashboard.")] = False,
    system_app: Annotated[
        bool,
        typer.Option(
            "--enable-system-app/--no-system-app",
            envvar="DYNAMO_SYSTEM_APP_ENABLED",
            help="Serve health and metrics pages in every worker.",
        ),
    ] = True,
    system_app_port: Annotated[
        int,
        typer.Option(
            "--system-app-port",
            envvar=["DYNAMO_SYSTEM_PORT", "DYNAMO_SYSTEM_APP_PORT"],
            min=0,
            max=65535,
            help="Port of these pages in the entry's first worker; others use free ports.",
        ),
    ] = 0,
    system_app_host: Annotated[
        str,
        typer.Option(
            "--system-app-host", envvar=["DYNAMO_SYSTEM_HOST", "DYNAMO_SYSTEM_APP_HOST"], help="Address of these pages."
        ),
    ] = "127.0.0.1",
    default_checks: Annotated[
        bool,
        typer.Option(
            "--use-default-health-checks/--own-health-checks",
            help="Without default checks, only services with their own probes have /live and /health pages.",
        ),
    ] = True,
    platform: Annotated[str, typer.Option("--target", metavar="dynamo", help="Only `dynamo`.", hidden=True)] = "dynamo",
) -> None:
    """Run a graph on this machine, each service in its own processes, until Ctrl-C.

    `--Service.key=value` overrides a service's configuration in the file. A bento runs with the packages of its lock.

    Example: dynamo serve hello_world:Frontend -f config.yaml --Backend.message=hi --port 3000
    """
    from dynamo_build.errors import UsageError
    from dynamo_build.pipeline import serve

    if platform != "dynamo":
        raise UsageError(f"`{platform}` is not a target of `serve`", ["Omit `--target`; the only target is `dynamo`."])
    options = serve.ServeOptions(
        host=host,
        port=port,
        service_name=service_name,
        depends=tuple(depends or ()),
        config_file=Path(config_file) if config_file else None,
        arguments=tuple(context.args),
        pages=system_app,
        system_host=system_app_host,
        system_port=system_app_port,
        default_checks=default_checks,
        reload=reload,
        dashboard=dashboard,
    )
    listener = console.create_listener(quiet=True)
    if dry_run:
        from dynamo.sdk import codec
        from dynamo_build.graph.config import format_config_values

        resolved = serve.preview_config(target, Path(working_dir), options, listener)
        console.print_line(format_config_values(resolved.values))
        console.print_line(f"DYNAMO_SERVICE_CONFIG={codec.encode_ordered(resolved.config).decode()}")
        console.print_result(serve.effective_config(resolved), "json", text="")
        return
    raise typer.Exit(serve.serve(target, Path(working_dir), options, on=listener))
