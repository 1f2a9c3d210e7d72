"""`dynamo dashboard`: a web page about a running graph."""

from __future__ import annotations

from typing import Annotated

import typer

from dynamo_build.cli import console


def dashboard(
    process: Annotated[
        int,
        typer.Option(
            "--process", metavar="PID", help="Process ID of the graph's supervisor. Default: the last one started."
        ),
    ] = 0,
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="Port; 0 picks a free one.")] = 8600,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
) -> None:
    """Show a running graph on a web page: rates, latencies, states, restarts, engine metrics and logs.

    The page loads nothing from elsewhere and changes nothing. It ends with the graph, or with Ctrl-C.

    Example: dynamo dashboard --port 0
    """
    from dynamo_build.local.dashboard import shown, wait_for_end
    from dynamo_build.local.running import chosen

    graph = chosen(process)
    with shown(graph.pid, host, port) as address:
        console.say(f"{graph.graph} at {address}")
        wait_for_end(graph.pid)
    console.say(f"{graph.graph} ended")
