"""`dynamo serve`: the graph on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import ConfigFile, Target, WorkingDirectory, checked_service_arguments, service_arguments

context_settings = service_arguments


def serve(
    context: typer.Context,
    target: Target,
    config_file: ConfigFile = "",
    port: Annotated[
        int, typer.Option("--port", "-p", envvar="DYNAMO_PORT", min=0, max=65535, help="HTTP port; 0: a free one.")
    ] = 8000,
    host: Annotated[str, typer.Option("--host", envvar="DYNAMO_HOST", help="The address to listen on.")] = "127.0.0.1",
    service_name: Annotated[
        str, typer.Option("--service-name", envvar="DYNAMO_SERVICE_NAME", metavar="NAME", help="Run it alone.")
    ] = "",
    depends: Annotated[
        list[str] | None,
        typer.Option("--depends", metavar="NAME=NAMESPACE/COMPONENT", help="Runs elsewhere: not started here."),
    ] = None,
    working_dir: WorkingDirectory = ".",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the configuration as JSON and stop.")] = False,
) -> None:
    """Run a graph on this machine, each service in processes of its own, until Ctrl-C.

    `--Service.key=value` sets a key of a service's configuration, over that of the file.

    Example: dynamo serve hello_world:Frontend -f config.yaml --Backend.message=hi --port 3000
    """
    from dynamo_build.stages.serve import ServeOptions, effective, resolve
    from dynamo_build.stages.serve import serve as run

    options = ServeOptions(
        host=host,
        port=port,
        service_name=service_name,
        depends=tuple(depends or ()),
        config_file=Path(config_file) if config_file else None,
        arguments=tuple(checked_service_arguments(context.args)),
    )
    listener = console.listener(quiet=True)
    if dry_run:
        console.emit(effective(resolve(target, Path(working_dir), options, on=listener)), "json", text="")
        return
    raise typer.Exit(run(target, Path(working_dir), options, on=listener))
