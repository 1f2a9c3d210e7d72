"""`dynamo status`, `dynamo logs` and `dynamo restart`: graphs running on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import OutputForm, checked_output

if TYPE_CHECKING:
    from dynamo_build.local.running import RunningGraph

Process = Annotated[
    int,
    typer.Option(
        "--process", metavar="PID", help="Process ID of the graph's supervisor. Default: the last one started."
    ),
]
Service = Annotated[str, typer.Argument(metavar="[SERVICE]", help="One service. Default: all services.")]


def status(output: OutputForm = "text") -> None:
    """Show your running graphs on this machine, worker by worker.

    Example: dynamo status
    """
    from dynamo_build.local.running import graphs

    checked_output(output)
    found = graphs()
    text = "\n\n".join(_shown(graph) for graph in found) or "no graph of yours runs on this machine"
    console.emit(found, output, text=text, name="\n".join(str(graph.pid) for graph in found))


def logs(
    service: Service = "",
    process: Process = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the log until the graph ends.")] = False,
    tail: Annotated[int, typer.Option("--tail", "-n", min=0, metavar="LINES", help="Only the last lines; 0: all.")] = 0,
) -> None:
    """Print the log of a running graph's workers, at most the last 5,000 lines.

    Example: dynamo logs Backend --follow
    """
    from dynamo_build.local.running import chosen, lines

    request = {"do": "logs", "service": service, "follow": follow, "tail": tail}
    for line in lines(chosen(process).pid, request, patience=None):
        print(line, flush=follow)


def restart(service: Service = "", process: Process = 0) -> None:
    """Replace the workers of a running graph one by one. Each old worker stops only when the new one is ready.

    Example: dynamo restart Backend
    """
    from dynamo_build.errors import ServeError
    from dynamo_build.local.running import chosen, lines

    failed = ""
    for line in lines(chosen(process).pid, {"do": "restart", "service": service}, patience=None):
        console.say(line)
        failed = line if " is not replaced" in line else failed
    if failed:
        raise ServeError(f"the restart stopped: {failed}", ["See `dynamo logs` for what the new worker said."])


def _shown(graph: RunningGraph) -> str:
    rows = [("WORKER", "STATE", "PID", "UP", "RESTARTS", "GPU", "HTTP", "HEALTH")]
    rows += [
        (
            worker.worker,
            worker.state,
            str(worker.pid or "-"),
            f"{worker.seconds:.0f}s" if worker.pid else "-",
            str(worker.restarts),
            worker.devices or "-",
            worker.http or "-",
            f"{worker.pages}/health" if worker.pages else "-",
        )
        for worker in graph.workers
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([f"{graph.graph}  (process {graph.pid}, NATS {graph.nats})", *lines])
